"""The trace of an operator.

Interval: that of ``trace_moments`` for the orthogonal complement of the basis. Given the basis its own part is exact,
so that nothing but the complement's probe vectors is random; rounding is not counted, and is all there is where the
basis holds the whole range.
"""

import torch

from eigengate.estimators._quadratic_forms import trace_moments
from eigengate.estimators.estimate import Estimate, estimated_from
from eigengate.estimators.probe_vectors import rademacher
from eigengate.operators import LinearOperator


def hutchpp(A: LinearOperator, *, num_products: int, generator: torch.Generator) -> Estimate:
    """tr A by Hutch++ (Meyer, Musco, Musco & Woodruff 2021, Alg. 1), exact where the rank is at most a third of it.

    A third of the products finds a basis Q, a third gives tr QᵀAQ exactly, a third is Hutchinson's estimate of the
    trace on the orthogonal complement, whose standard error is reported (``trace_moments``); 3 products give none.

    Args:
        A: Self-adjoint operator [N, N].
        num_products: Columns multiplied, a multiple of 3; 3N or more is cut to the exact trace of N products.
        generator: Draws Rademacher vectors.

    Raises:
        ValueError: ``num_products`` is no positive multiple of 3.
    """
    if num_products < 3 or num_products % 3:
        raise ValueError(f"num_products={num_products} must be a positive multiple of 3")
    N = A.shape[0]
    third = num_products // 3
    if third >= N:
        return estimated_from(float(A.materialize().double().trace()), 0.0, 0.0, N)
    Q, _ = torch.linalg.qr(A @ rademacher(A, third, generator))
    kept = float((Q.double() * (A @ Q).double()).sum())
    signs = rademacher(A, third, generator)
    products = A @ (signs - Q @ (Q.mT @ signs))
    rest = trace_moments(signs, products - Q @ (Q.mT @ products))
    return estimated_from(kept + rest.value, rest.variance**0.5, rest.degrees_of_freedom, num_products)
