"""How we look at a matrix: Lanczos, quadrature, traces, norms, summaries of spectra, sampling error.

Everything here is a plain function of a ``LinearOperator`` or of tensors; results are frozen and carry their error and
outcome. Nothing here knows networks, probe sets or reports' names.
"""
