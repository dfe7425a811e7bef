"""Stochastic Lanczos quadrature."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.estimators.orthonormal import ROUNDING, project_out
from eigengate.estimators.probe_vectors import rademacher
from eigengate.estimators.spectral_measure import SpectralMeasure
from eigengate.operators import LinearOperator


def slq(
    A: LinearOperator,
    *,
    num_steps: int,
    num_samples: int,
    generator: torch.Generator,
    on_probe: Callable[[int, int], None] = lambda done, total: None,
) -> SpectralMeasure:
    """The spectral measure of a self-adjoint operator by stochastic Lanczos quadrature.

    Each probe vector's ``num_steps`` Lanczos steps give a Gauss rule that integrates polynomials up to degree
    2·num_steps − 1 exactly against that vector's measure (Ubaru, Chen & Saad 2017, Alg. 1). The standard error of an
    integral is that of the probe vectors; the truncation of the rule is not in it.

    Args:
        A: Self-adjoint operator [N, N].
        num_steps: Lanczos steps per probe vector; N or more makes each rule exact.
        num_samples: Rademacher probe vectors.
        generator: Draws them.
        on_probe: Called after each probe vector with how many are done, and of how many.
    """
    N = A.shape[0]
    depth = min(num_steps, N)
    nodes = torch.zeros(num_samples, depth, dtype=torch.float64, device=A.device)
    weights = torch.zeros_like(nodes)
    products = 0
    for j, start in enumerate(rademacher(A, num_samples, generator).unbind(1)):
        T = tridiagonalize(A, start, num_steps=depth)
        products += T.shape[0]
        if not bool(torch.isfinite(T).all()):
            return SpectralMeasure(torch.full_like(nodes, torch.nan), weights, products)
        theta, S = torch.linalg.eigh(T)
        nodes[j, : len(theta)] = theta
        weights[j, : len(theta)] = N * S[0].square()
        on_probe(j + 1, num_samples)
    return SpectralMeasure(nodes, weights, products)


def tridiagonalize(A: LinearOperator, start: Float[Tensor, " N"], *, num_steps: int) -> Float[Tensor, "k k"]:
    """QᵀAQ on the Krylov space of ``start``, fully reorthogonalised; k < num_steps where the space is exhausted."""
    basis = (start / start.norm()).unsqueeze(1)
    diagonal: list[Tensor] = []
    off_diagonal: list[Tensor] = []
    for step in range(num_steps):
        W, projection = project_out(basis, (A @ basis[:, -1]).unsqueeze(1))
        diagonal.append(projection[-1, 0].double())
        norm = W.norm()
        scale = torch.stack(diagonal).abs().max()
        if step == num_steps - 1 or float(norm) <= ROUNDING * torch.finfo(A.dtype).eps * float(scale):
            break
        off_diagonal.append(norm.double())
        basis = torch.cat([basis, W / norm], dim=1)
    main = torch.diag(torch.stack(diagonal))
    if not off_diagonal:
        return main
    beside = torch.diag(torch.stack(off_diagonal), 1)
    return main + beside + beside.mT
