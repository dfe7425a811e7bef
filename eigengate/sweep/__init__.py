"""The shared pass over the probe set: logits, input Jacobians and tangent kernels, inside a memory budget.

Only this package knows how per-sample derivatives are obtained and tiled; what is read off them belongs to
``estimators`` and ``diagnostics``.
"""
