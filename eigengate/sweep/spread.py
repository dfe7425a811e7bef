"""How far the members of a set lie apart."""

from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor


@final
@dataclass(frozen=True)
class Spread:
    """Mean squared distance from the mean, as a function of the weights of n points."""

    centred_gram: Float[Tensor, "n n"]

    @classmethod
    def of(cls, points: Tensor) -> "Spread":
        """Of points [n, ...], flattened."""
        flat = points.flatten(1).double()
        centred = flat - flat.mean(dim=0)
        return cls(centred @ centred.mT)

    @property
    def value(self) -> float:
        """δ = (mean ‖p_i − p̄‖²)^½."""
        return float(self.centred_gram.diagonal().mean().clamp_min(0).sqrt())

    def squared(self, weights: Float[Tensor, " n"]) -> Tensor:
        """δ² under weights that sum to one: Σ w_i ‖p_i‖² − ‖Σ w_i p_i‖²."""
        return weights @ self.centred_gram.diagonal() - weights @ self.centred_gram @ weights
