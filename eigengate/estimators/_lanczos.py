"""Extreme eigenvalues of a self-adjoint operator."""

import math
from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.contract import Interval, Outcome
from eigengate.estimators.orthonormal import ROUNDING, orthonormal_range, project_out
from eigengate.estimators.probe_vectors import gaussian
from eigengate.estimators.resampling import LEVEL
from eigengate.operators import LinearOperator

# A good start can look converged at an inner eigenvalue before the random column has shown the outer one.
_MIN_STEPS: Final = 8
_KEPT_AT_RESTART: Final = 3  # of the basis' columns, a third


@final
@dataclass(frozen=True)
class Eigenpairs:
    """Ritz values [k], vectors [N, k] and residual norms ‖A v − θ v‖ [k], the outermost first."""

    values: Float[Tensor, " k"]
    vectors: Float[Tensor, "N k"]
    residuals: Float[Tensor, " k"]

    def interval(self, i: int = 0) -> Interval | None:
        """θ_i ± residual: an eigenvalue lies in it, and a random start finds the outermost ones first.

        None where it is not finite.
        """
        value, residual = float(self.values[i]), float(self.residuals[i])
        if not (math.isfinite(value) and math.isfinite(residual)):
            return None
        return Interval(low=value - residual, high=value + residual, level=LEVEL)


@final
@dataclass(frozen=True)
class ExtremeEigenpairs:
    """Both ends of a spectrum; ``ok`` means every residual is at most tolerance · max |θ|."""

    largest: Eigenpairs
    smallest: Eigenpairs
    num_products: int
    outcome: Outcome


@final
@dataclass(frozen=True)
class Ends:
    """How many of the largest and of the smallest (most negative) eigenvalues are wanted."""

    largest: int = 1
    smallest: int = 0

    @property
    def count(self) -> int:
        return self.largest + self.smallest

    def top(self, m: int) -> list[int]:
        """Positions of the largest ones among m ascending values, outermost first."""
        return list(range(m - 1, max(m - 1 - self.largest, -1), -1))

    def bottom(self, m: int) -> list[int]:
        return list(range(min(self.smallest, m)))

    def both(self, m: int) -> list[int]:
        """Each position once."""
        return list(dict.fromkeys(self.top(m) + self.bottom(m)))


def lanczos(
    A: LinearOperator,
    *,
    ends: Ends = Ends(),
    start: Float[Tensor, "N b"] | None = None,
    tolerance: float,
    max_products: int,
    max_basis: int,
    generator: torch.Generator,
) -> ExtremeEigenpairs:
    """Extreme eigenpairs by block Lanczos with full reorthogonalisation and thick restarts.

    The projected matrix QᵀAQ is kept as it falls out of the orthogonalisation, so restarting with Ritz vectors needs
    no products (Wu & Simon 2000; Parlett 1998, chapter 13). One random column always joins the start. Eigenvalues of a
    multiplicity above the block's width may be reported fewer times than they occur.

    Args:
        A: Self-adjoint operator [N, N].
        ends: Which eigenvalues.
        start: Columns that lie close to the wanted eigenvectors.
        tolerance: Largest residual accepted, relative to the largest Ritz value by magnitude.
        max_products: Columns multiplied at most; running out gives ``not_converged``.
        max_basis: Columns kept at most.
        generator: Draws the random column.
    """
    random = gaussian(A, 1, generator)
    block = random if start is None else torch.cat([start.to(A.dtype), random], dim=1)
    krylov = _Krylov(A, block, max_basis=max(max_basis, 3 * (block.shape[1] + ends.count)))
    tolerance = max(tolerance, ROUNDING * torch.finfo(A.dtype).eps)
    while True:
        krylov.step(generator)
        theta, _, residuals = krylov.ritz()
        if not bool(torch.isfinite(theta).all()):
            return krylov.pairs(ends, "non_finite")
        order = ends.both(len(theta))
        accepted = len(order) == ends.count and bool((residuals[order] <= tolerance * theta.abs().max()).all())
        if krylov.complete or (accepted and krylov.steps >= _MIN_STEPS):
            return krylov.pairs(ends, "ok")
        if krylov.num_products >= max_products:
            return krylov.pairs(ends, "not_converged")
        if krylov.full:
            krylov.restart(ends)


@final
class _Krylov:
    """An orthonormal basis Q, the projected matrix T = QᵀAQ, and the block to be multiplied next."""

    def __init__(self, A: LinearOperator, block: Tensor, *, max_basis: int) -> None:
        self._A = A
        self._max_basis = max_basis
        self._eps = torch.finfo(A.dtype).eps
        self.basis, _ = orthonormal_range(block, block[:, :0], floor=self._eps * float(block.norm()))
        self._last = self.basis.shape[1]  # columns of the newest block, at the end of the basis
        self._T = torch.zeros(self._last, self._last, dtype=torch.float64, device=A.device)
        self._next, self._coupling = self.basis[:, :0], torch.zeros(0, self._last, dtype=torch.float64)
        self.num_products = 0
        self.steps = 0

    @property
    def complete(self) -> bool:
        """Whether the basis spans the whole space, so that T has the whole spectrum."""
        return self.basis.shape[1] >= self._A.shape[0] and self._next.shape[1] == 0

    def step(self, generator: torch.Generator) -> None:
        """Append the next block, multiply it, orthogonalise the product."""
        if self.steps:
            self._append(self._next if self._next.shape[1] else self._fresh(generator))
        W = self._A @ self.basis[:, -self._last :]
        self.num_products += self._last
        self.steps += 1
        W, projection = project_out(self.basis, W)
        self._T[:, -self._last :] = projection.double()
        self._T[-self._last :, :] = projection.double().mT
        room = self._A.shape[0] - self.basis.shape[1]
        scale = max(float(projection.norm()), float(self._T.norm()), torch.finfo(torch.float64).tiny)
        floor = ROUNDING * self._eps * scale
        following, coupling = orthonormal_range(W, self.basis, floor=floor)
        self._next = following[:, :room]
        self._coupling = coupling.double()

    def ritz(self) -> tuple[Tensor, Tensor, Tensor]:
        """Ritz values ascending, their coordinates in the basis, residual norms ‖B s_last‖."""
        T = (self._T + self._T.mT) / 2
        if not bool(torch.isfinite(T).all()):
            nan = torch.full((T.shape[0],), float("nan"), dtype=T.dtype, device=T.device)
            return nan, torch.eye(T.shape[0], dtype=T.dtype, device=T.device), nan
        theta, S = torch.linalg.eigh(T)
        return theta, S, torch.linalg.vector_norm(self._coupling.to(S.device) @ S[-self._last :], dim=0)

    @property
    def full(self) -> bool:
        """Whether the next block would not fit."""
        return self.basis.shape[1] + max(self._next.shape[1], 1) > self._max_basis

    def restart(self, ends: Ends) -> None:
        """Keep Ritz vectors at the wanted ends only."""
        theta, S, _ = self.ritz()
        kept = max(self._max_basis // _KEPT_AT_RESTART, ends.count)
        largest = max(ends.largest, kept * ends.largest // ends.count)
        order = Ends(largest, kept - largest).both(len(theta))
        self.basis, _ = torch.linalg.qr(self.basis @ S[:, order].to(self.basis.dtype))
        self._T = torch.diag(theta[order])

    def pairs(self, ends: Ends, outcome: Outcome) -> ExtremeEigenpairs:
        """The Ritz pairs at both ends as they stand."""
        theta, S, residuals = self.ritz()

        def take(order: list[int]) -> Eigenpairs:
            # No residual is known better than the products are rounded.
            floor = ROUNDING * self._eps * theta.abs().max()
            vectors = self.basis @ S[:, order].to(self.basis.dtype)
            return Eigenpairs(theta[order], vectors, residuals[order].clamp_min(floor))

        m = len(theta)
        return ExtremeEigenpairs(take(ends.top(m)), take(ends.bottom(m)), self.num_products, outcome)

    def _append(self, block: Tensor) -> None:
        b, m = block.shape[1], self.basis.shape[1]
        T = torch.zeros(m + b, m + b, dtype=self._T.dtype, device=self._T.device)
        T[:m, :m] = self._T
        self.basis, self._T, self._last = torch.cat([self.basis, block], dim=1), T, b

    def _fresh(self, generator: torch.Generator) -> Tensor:
        """A random direction outside an invariant subspace."""
        column, _ = project_out(self.basis, gaussian(self._A, 1, generator))
        return torch.as_tensor(column / column.norm())
