"""Stochastic Lanczos quadrature with the outliers taken out.

A few probe vectors tell little of an eigenvalue that outweighs the others: its share of each is χ² with one degree of
freedom, and so is most of the error. One probe vector therefore scouts. What it has converged to enters exactly, and
the others see the orthogonal complement only, as Hutch++ does for the trace. The intervals are those of
``SpectralMeasure``; their formula needs probe vectors without a preferred direction, hence the Gaussian ones here.
"""

from collections.abc import Callable
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.estimators._tridiagonal import tridiagonalize
from eigengate.estimators.orthonormal import project_out
from eigengate.estimators.probe_vectors import gaussian
from eigengate.estimators.quadrature_rules import QuadratureRules
from eigengate.estimators.spectral_measure import SpectralMeasure
from eigengate.operators import LinearOperator

# Residual, relative to its Ritz value, of a scouted eigenvalue. What it leaves of f(A) is of third order in it.
_CAPTURED: Final = 1e-2
# Odd and even depths err to opposite sides where a spectrum is symmetric about a kink of the integrand, as |λ| has.
_RULES: Final = 4
_BASIS_BYTES: Final = 2**28


def slq(
    A: LinearOperator,
    *,
    num_steps: int,
    num_samples: int,
    generator: torch.Generator,
    on_probe: Callable[[int, int], None] = lambda done, total: None,
    basis_bytes: int = _BASIS_BYTES,
) -> SpectralMeasure:
    """The spectral measure of a self-adjoint operator by stochastic Lanczos quadrature.

    Each probe vector's ``num_steps`` Lanczos steps give a Gauss rule that integrates polynomials up to degree
    2·num_steps − 1 exactly against that vector's measure (Ubaru, Chen & Saad 2017, Alg. 1), and the rules of the last
    few depths tell how far other integrands still move.

    Args:
        A: Self-adjoint operator [N, N].
        num_steps: Lanczos steps per probe vector; N or more makes the measure exact.
        num_samples: Gaussian probe vectors, besides the scout.
        generator: Draws them.
        on_probe: Called after each probe vector with how many are done, and of how many.
        basis_bytes: Krylov bases held at once; where one of them exceeds it, that one.
    """
    N = A.shape[0]
    depth = min(num_steps, N)
    known, Q, products = _scouted(A, depth, generator)
    on_probe(1, num_samples + 1)
    rest = N - Q.shape[1]
    width = max(1, basis_bytes // (N * depth * torch.finfo(A.dtype).bits // 8))
    if not rest:
        nothing = QuadratureRules.none(num_samples, A.device)
        return SpectralMeasure(nothing, nothing, known, torch.full_like(known, 0.5), products)
    averaged, plain = [], []
    for first in range(0, num_samples, width):
        probes = gaussian(A, min(width, num_samples - first), generator)
        part = tridiagonalize(A, _unit(project_out(Q, probes)[0]), num_steps=depth)
        depths = [max(part.matrix.shape[1] - back, 1) for back in range(min(_RULES, depth))]
        averaged.append(QuadratureRules(*part.averaged_rules(depths)))
        plain.append(QuadratureRules(*part.gauss_rules(depths)))
        products += part.num_products
        on_probe(1 + first + probes.shape[1], num_samples + 1)
    rules = [QuadratureRules.joined(parts, total=rest) for parts in (averaged, plain)]
    return SpectralMeasure(rules[0], rules[1], known, torch.full_like(known, 0.5), products)


def _scouted(
    A: LinearOperator, depth: int, generator: torch.Generator
) -> tuple[Float[Tensor, " m"], Float[Tensor, "N c"], int]:
    """Two nodes of weight ½ for each of c eigenvalues that one probe vector converges to, their vectors, its products.

    A Ritz vector q of residual r has qᵀAq = θ and qᵀA²q = θ² + r²: two nodes θ ± r of weight ½ have both moments.
    """
    scout = tridiagonalize(A, _unit(gaussian(A, 1, generator)), num_steps=depth)
    if not bool(torch.isfinite(scout.matrix).all()):
        return scout.matrix.new_full((1,), torch.nan), scout.basis[0, :0].mT, scout.num_products
    theta, residuals, S = scout.ritz(0)
    kept = residuals < _CAPTURED * theta.abs()
    nodes = torch.cat([theta[kept] - residuals[kept], theta[kept] + residuals[kept]])
    return nodes, scout.basis[0].mT @ S[:, kept].to(A.dtype), scout.num_products


def _unit(columns: Float[Tensor, "N s"]) -> Float[Tensor, "N s"]:
    return torch.nn.functional.normalize(columns, dim=0, eps=0.0)
