"""A spectrum seen through a few quadrature nodes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.estimators.estimate import Estimate, estimated_from

# (nodes, weights), the weights summing to the dimension → a scalar
Statistic = Callable[[Tensor, Tensor], Tensor]


@final
@dataclass(frozen=True)
class SpectralMeasure:
    """The measure Σ_j w_j δ(λ − t_j) ≈ Σ_i δ(λ − λ_i), one quadrature rule per probe vector.

    ``nodes`` [s, k] and ``weights`` [s, k], float64; the weights of each probe vector sum to the dimension.
    """

    nodes: Float[Tensor, "s k"]
    weights: Float[Tensor, "s k"]
    num_products: int

    def integrate(self, function: Callable[[Tensor], Tensor]) -> Estimate:
        """tr f(A) with its standard error over probe vectors."""
        return self.estimate(lambda nodes, weights: (weights * function(nodes)).sum())

    def estimate(self, statistic: Statistic) -> Estimate:
        """A smooth statistic of the measure averaged over probe vectors; standard error by leaving out one at a time.

        The jackknife variance (s−1)/s Σ (T_(−j) − T̄)² is that of the mean where the statistic is linear.
        """
        s = len(self.nodes)
        value = float(statistic(self.nodes.flatten(), self.weights.flatten() / s))
        if s == 1:
            return estimated_from(value, 0.0 if value != value else float("inf"), 0, self.num_products)
        left_out = torch.stack([self._without(j, statistic) for j in range(s)])
        stderr = float(((s - 1) / s * (left_out - left_out.mean()).square().sum()).sqrt())
        return estimated_from(value, stderr, s - 1, self.num_products)

    def _without(self, j: int, statistic: Statistic) -> Tensor:
        others = torch.arange(len(self.nodes), device=self.nodes.device) != j
        return statistic(self.nodes[others].flatten(), self.weights[others].flatten() / int(others.sum()))
