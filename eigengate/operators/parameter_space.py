"""Named parameter tensors as one flat vector θ ∈ R^P."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor


@final
@dataclass(frozen=True)
class ParameterSpace:
    """The order in which tensors lie in the flat vector, and their shapes."""

    shapes: Mapping[str, torch.Size]

    @classmethod
    def of(cls, params: Mapping[str, Tensor]) -> "ParameterSpace":
        return cls({name: tensor.shape for name, tensor in params.items()})

    @property
    def sizes(self) -> dict[str, int]:
        """Number of entries of every tensor."""
        return {name: math.prod(shape) for name, shape in self.shapes.items()}

    @property
    def dimension(self) -> int:
        """P."""
        return sum(self.sizes.values())

    def flatten(self, params: Mapping[str, Tensor]) -> Float[Tensor, " P"]:
        """θ, the tensors one after another."""
        return torch.cat([params[name].reshape(-1) for name in self.shapes])

    def unflatten(self, vector: Float[Tensor, " P"]) -> dict[str, Tensor]:
        """The tensors of a flat vector."""
        # One split: its backward is one concatenation, where slices would each pad a zero vector of length P.
        pieces = torch.split(vector, list(self.sizes.values()))
        return {name: piece.reshape(self.shapes[name]) for name, piece in zip(self.shapes, pieces, strict=True)}

    def units(self, params: Mapping[str, Tensor]) -> Float[Tensor, " P"]:
        """The diagonal of T: every entry's unit is ‖θ_l‖, the norm of the tensor l it belongs to (design 1.3).

        A tensor that is all zero has unit zero: relative changes cannot move it.
        """
        norms = tensor_norms(params)
        return torch.cat([norms[name].expand(size) for name, size in self.sizes.items()])


def tensor_norms(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """‖θ_l‖, the Euclidean norm of every tensor, as scalars of its dtype."""
    return {name: tensor.detach().double().norm().to(tensor.dtype) for name, tensor in params.items()}
