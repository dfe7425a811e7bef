"""PyTorch's own module samples as TorchScript files: outputs and first derivatives against the eager module's.

``python -m tests.conformance.torchscript_modules`` prints how many pass and what is missing, with the reason, and fails
below the recorded marks; the tests beside this package run the same checks.
"""
