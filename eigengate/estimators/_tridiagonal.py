"""Lanczos tridiagonalisation of a self-adjoint operator from several starts at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.estimators.orthonormal import rounding
from eigengate.operators import LinearOperator


@final
@dataclass(frozen=True)
class Tridiagonal:
    """T_j = Q_jᵀAQ_j on the Krylov space of each start j.

    Attributes:
        matrix: T [s, k, k], float64; where a space is exhausted early its T is followed by zeros, decoupled from it.
        coupling: The entry [s] that would come next beside the diagonal; 0 where the space is invariant.
        basis: Orthonormal rows per start, or zeros after exhaustion.
        num_products: Columns multiplied.
    """

    matrix: Float[Tensor, "s k k"]
    coupling: Float[Tensor, " s"]
    basis: Float[Tensor, "s k N"]
    num_products: int

    def gauss_rules(self, depths: Sequence[int]) -> tuple[Float[Tensor, "d s k"], Float[Tensor, "d s k"]]:
        """Nodes and weights of the Gauss rules of these depths, at most k, padded with nodes of no weight.

        An exhausted start has the exact rule at every depth. NaN where a product was not finite.
        """
        return self._rules([self._cut(depth) for depth in depths])

    def averaged_rules(self, depths: Sequence[int]) -> tuple[Float[Tensor, "d s m"], Float[Tensor, "d s m"]]:
        """The generalised averaged Gauss rules of 2·depth − 1 nodes, padded likewise, m = 2k − 1.

        Their matrix is T_depth, followed by its first rows and columns in reverse: the recurrence goes on as if it
        came back. No further product is needed, and where an integrand has a kink the errors of Gauss rules largely
        cancel (Reichel, Spalević & Tang 2016, Numer. Algorithms 72).
        """
        return self._rules([self._mirrored(depth) for depth in depths])

    def _rules(self, matrices: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Nodes and weights from T and what replaces it where there is more than T has."""
        if not bool(torch.isfinite(self.matrix).all()):
            nan = torch.full_like(matrices[0][:, 0], torch.nan).expand(len(matrices), -1, -1)
            return nan, nan
        exhausted = (self.coupling == 0)[:, None, None]
        size = matrices[0].shape[1]
        whole = self._padded(self.matrix, size)
        rules = [torch.linalg.eigh(torch.where(exhausted, whole, self._padded(matrix, size))) for matrix in matrices]
        return torch.stack([theta for theta, _ in rules]), torch.stack([S[:, 0].square() for _, S in rules])

    def ritz(self, start: int) -> tuple[Float[Tensor, " k"], Float[Tensor, " k"], Float[Tensor, "k k"]]:
        """Ritz values of one start, their residuals ‖A q − θ q‖, their coordinates in its basis."""
        theta, S = torch.linalg.eigh(self.matrix[start])
        return theta, self.coupling[start] * S[-1].abs(), S

    def _cut(self, depth: int) -> Tensor:
        """T without the coupling of its first ``depth`` rows to the rest."""
        matrix = self.matrix.clone()
        if 0 < depth < self.matrix.shape[1]:
            matrix[:, depth, depth - 1] = 0
            matrix[:, depth - 1, depth] = 0
        return matrix

    def _mirrored(self, depth: int) -> Tensor:
        """T of a depth, the coupling to the next row, and T without its last row in reverse: [s, 2·depth − 1, ...]."""
        k, size = self.matrix.shape[1], 2 * depth - 1
        matrix = self.matrix.new_zeros(len(self.matrix), size, size)
        matrix[:, :depth, :depth] = self.matrix[:, :depth, :depth]
        if depth > 1:
            beside = self.coupling if depth == k else self.matrix[:, depth, depth - 1]
            matrix[:, depth, depth - 1] = matrix[:, depth - 1, depth] = beside
            matrix[:, depth:, depth:] = self.matrix[:, : depth - 1, : depth - 1].flip(1, 2)
        return matrix

    @staticmethod
    def _padded(matrix: Tensor, size: int) -> Tensor:
        missing = size - matrix.shape[1]
        return torch.nn.functional.pad(matrix, (0, missing, 0, missing))


def tridiagonalize(A: LinearOperator, starts: Float[Tensor, "N s"], *, num_steps: int) -> Tridiagonal:
    """Lanczos with full reorthogonalisation on every start; ends early where all the Krylov spaces are exhausted.

    Args:
        A: Self-adjoint operator [N, N].
        starts: Unit columns, each the start of its own Krylov space.
        num_steps: Products of each, at most.
    """
    N, s = starts.shape
    basis = starts.new_zeros(s, num_steps, N)
    diagonal = torch.zeros(num_steps, s, dtype=torch.float64, device=A.device)
    beside = torch.zeros_like(diagonal)
    following, step = starts, 0
    for step in range(num_steps):
        basis[:, step] = following.mT
        W, projection = _project_out(basis[:, : step + 1], A @ following)
        diagonal[step] = projection[:, -1].double()
        # In float64: squares of float32 numbers below 1e-19 vanish.
        norm = torch.linalg.vector_norm(W, dim=0, dtype=torch.float64)
        scale = torch.maximum(diagonal.abs().amax(dim=0), beside.amax(dim=0))
        going_on = ~(norm <= rounding(A) * scale)
        beside[step] = torch.where(going_on, norm, 0.0)
        if not bool(going_on.any()):
            break
        following = torch.where(going_on, W / norm.to(W.dtype), 0.0)
    T = torch.diag_embed(diagonal[: step + 1].mT)
    if step:
        off = torch.diag_embed(beside[:step].mT, offset=1)
        T = T + off + off.mT
    return Tridiagonal(T, beside[step], basis[:, : step + 1], s * (step + 1))


def _project_out(basis: Float[Tensor, "s k N"], W: Float[Tensor, "N s"]) -> tuple[Tensor, Tensor]:
    """Each column without its part in its own basis, twice as in ``project_out``, and that part [s, k]."""
    columns = W.mT.unsqueeze(2)
    first = basis @ columns
    columns = columns - basis.mT @ first
    second = basis @ columns
    columns = columns - basis.mT @ second
    return columns.squeeze(2).mT, (first + second).squeeze(2)
