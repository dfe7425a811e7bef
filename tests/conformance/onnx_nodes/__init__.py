"""The ONNX standard's own node cases, run through our executor: forward, and through every kind of derivative.

``python -m tests.conformance.onnx_nodes`` prints how many pass and what is missing, with the reason, and fails below
the recorded marks; the tests beside this package run the same checks.
"""
