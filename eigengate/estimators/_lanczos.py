"""Extreme eigenvalues of a self-adjoint operator."""

import math
from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.contract import Interval, Outcome
from eigengate.estimators._outer_bounds import OuterBounds, safe_start
from eigengate.estimators.orthonormal import project_out, rounding
from eigengate.estimators.probe_vectors import gaussian
from eigengate.estimators.resampling import LEVEL
from eigengate.operators import LinearOperator

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
    """Both ends of a spectrum; ``ok`` means every residual is at most tolerance · max |θ|.

    ``bounds`` say how far beyond the ends an eigenvalue can have been missed.
    """

    largest: Eigenpairs
    smallest: Eigenpairs
    bounds: OuterBounds
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
    start: Float[Tensor, " N"] | None = None,
    tolerance: float,
    max_products: int,
    max_basis: int,
    generator: torch.Generator,
) -> ExtremeEigenpairs:
    """Extreme eigenpairs by Lanczos with full reorthogonalisation and thick restarts.

    The projected matrix QᵀAQ is kept as it falls out of the orthogonalisation, so restarting with Ritz vectors needs
    no products (Wu & Simon 2000; Parlett 1998, chapter 13). Products are single: per product a block finds less, and
    the eigenvalue at an end is one whatever its multiplicity; inner ones may be reported fewer times than they occur.
    It ends when the residuals are small and the random part of the start leaves little room beyond either end
    (``OuterBounds``); a restart ends the bounds, not the search.

    Args:
        A: Self-adjoint operator [N, N].
        ends: Which eigenvalues.
        start: A vector close to the wanted eigenvectors; a longer random one is added to it.
        tolerance: Largest residual accepted, relative to the largest Ritz value by magnitude.
        max_products: Columns multiplied at most; running out gives ``not_converged``.
        max_basis: Columns kept at most.
        generator: Draws the random vector.
    """
    vector, overlap = safe_start(A, start, generator)
    krylov = _Krylov(A, vector, overlap, max_basis=max(max_basis, 3 * (1 + ends.count)))
    tolerance = max(tolerance, rounding(A))
    while True:
        krylov.step(generator)
        theta, _, residuals = krylov.ritz()
        if not bool(torch.isfinite(theta).all()):
            return krylov.pairs(ends, "non_finite")
        order = ends.both(len(theta))
        accepted = len(order) == ends.count and bool((residuals[order] <= tolerance * theta.abs().max()).all())
        if krylov.complete or (accepted and krylov.leaves_no_room(ends)):
            return krylov.pairs(ends, "ok")
        if krylov.num_products >= max_products:
            return krylov.pairs(ends, "not_converged")
        if krylov.full:
            krylov.restart(ends)


@final
class _Krylov:
    """An orthonormal basis Q, the projected matrix T = QᵀAQ, and the block to be multiplied next."""

    def __init__(self, A: LinearOperator, start: Tensor, overlap: float, *, max_basis: int) -> None:
        self._A = A
        self._max_basis = max_basis
        self._rounding = rounding(A)
        self.basis = start.unsqueeze(1)
        self._T = torch.zeros(1, 1, dtype=torch.float64, device=A.device)
        self._next, self._coupling = self.basis[:, :0], torch.zeros(0, 1, dtype=torch.float64)
        self._bounds = OuterBounds(overlap)
        self._restarted = False
        self.num_products = 0

    @property
    def complete(self) -> bool:
        """Whether the basis spans the whole space, so that T has the whole spectrum."""
        return self.basis.shape[1] >= self._A.shape[0] and self._next.shape[1] == 0

    def step(self, generator: torch.Generator) -> None:
        """Append the next column, multiply it, orthogonalise the product."""
        if self.num_products:
            self._append(self._next if self._next.shape[1] else self._fresh(generator))
        W, projection = project_out(self.basis, self._A @ self.basis[:, -1:])
        self.num_products += 1
        self._T[:, -1:] = projection.double()
        self._T[-1:, :] = projection.double().mT
        room = self._A.shape[0] - self.basis.shape[1]
        scale = max(float(projection.double().norm()), float(self._T.norm()), torch.finfo(torch.float64).tiny)
        # In float64: squares of float32 numbers below 1e-19 vanish.
        norm = torch.linalg.vector_norm(W, dtype=torch.float64)
        kept = int(float(norm) > self._rounding * scale)
        self._next, self._coupling = (W / norm.to(W.dtype))[:, : min(kept, room)], norm.reshape(1, 1)[:kept]
        if not self._restarted:
            self._bounds = self._bounds.after(self.ritz()[0], float(self._coupling.norm()))

    def ritz(self) -> tuple[Tensor, Tensor, Tensor]:
        """Ritz values ascending, their coordinates in the basis, residual norms ‖B s_last‖."""
        T = (self._T + self._T.mT) / 2
        if not bool(torch.isfinite(T).all()):
            nan = torch.full((T.shape[0],), float("nan"), dtype=T.dtype, device=T.device)
            return nan, torch.eye(T.shape[0], dtype=T.dtype, device=T.device), nan
        theta, S = torch.linalg.eigh(T)
        return theta, S, torch.linalg.vector_norm(self._coupling.to(S.device) @ S[-1:], dim=0)

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
        self._restarted = True

    def leaves_no_room(self, ends: Ends) -> bool:
        """Whether the bounds lie close to the ends that are looked for, or can tell no more."""
        theta, _, _ = self.ritz()
        return self._restarted or self._bounds.are_close(theta, above=ends.largest > 0, below=ends.smallest > 0)

    def pairs(self, ends: Ends, outcome: Outcome) -> ExtremeEigenpairs:
        """The Ritz pairs at both ends as they stand."""
        theta, S, residuals = self.ritz()

        def take(order: list[int]) -> Eigenpairs:
            # No residual is known better than the products are rounded.
            floor = self._rounding * theta.abs().max()
            vectors = self.basis @ S[:, order].to(self.basis.dtype)
            return Eigenpairs(theta[order], vectors, residuals[order].clamp_min(floor))

        m = len(theta)
        return ExtremeEigenpairs(take(ends.top(m)), take(ends.bottom(m)), self._bounds, self.num_products, outcome)

    def _append(self, column: Tensor) -> None:
        self.basis = torch.cat([self.basis, column], dim=1)
        self._T = torch.nn.functional.pad(self._T, (0, 1, 0, 1))

    def _fresh(self, generator: torch.Generator) -> Tensor:
        """A random direction outside an invariant subspace."""
        column, _ = project_out(self.basis, gaussian(self._A, 1, generator))
        return torch.as_tensor(column / column.norm())
