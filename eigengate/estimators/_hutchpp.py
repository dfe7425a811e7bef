"""The trace of an operator."""

import torch

from eigengate.estimators.estimate import Estimate, estimated_from
from eigengate.estimators.probe_vectors import rademacher
from eigengate.operators import LinearOperator


def hutchpp(A: LinearOperator, *, num_products: int, generator: torch.Generator) -> Estimate:
    """tr A by Hutch++ (Meyer, Musco, Musco & Woodruff 2021, Alg. 1), exact where the rank is at most a third of it.

    A third of the products finds a basis Q, a third gives tr QᵀAQ exactly, a third is Hutchinson's estimate of the
    trace on the orthogonal complement, whose standard error is reported.

    Args:
        A: Square operator [N, N].
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
        return estimated_from(float(A.materialize().double().trace()), 0.0, 0, N)
    Q, _ = torch.linalg.qr(A @ rademacher(A, third, generator))
    kept = (Q.double() * (A @ Q).double()).sum()
    probes = rademacher(A, third, generator)
    rest = probes - Q @ (Q.mT @ probes)
    quadratic = (rest.double() * (A @ rest).double()).sum(dim=0)
    stderr = float(quadratic.std() / third**0.5) if third > 1 else float("inf")
    return estimated_from(float(kept + quadratic.mean()), stderr, third - 1, num_products)
