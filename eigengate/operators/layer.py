"""The layers of a network, as its parameters' names tell them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int64
from torch import Tensor

from eigengate.operators.parameter_space import ParameterSpace


@final
@dataclass(frozen=True)
class Layer:
    """The parameter tensors that share the part of their names in front of the last dot.

    ``blocks.0.first.weight`` and ``blocks.0.first.bias`` are the layer ``blocks.0.first``. A name without a dot, as
    ONNX initializers may have, or with nothing in front of it, is a layer of its own: such names tell no more, and the
    graph around an initializer does not say what was one module.

    Attributes:
        name: The shared part, or the whole name.
        tensors: Full names and numbers of entries, in the order of the parameter space.
    """

    name: str
    tensors: Mapping[str, int]

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(self.tensors.values())

    def positions(self, space: ParameterSpace, device: torch.device) -> Int64[Tensor, " m"]:
        """Where its entries lie in θ; a layer's tensors need not be neighbours."""
        pieces, first = [], 0
        for name, size in space.sizes.items():
            if name in self.tensors:
                pieces.append(torch.arange(first, first + size, device=device))
            first += size
        return torch.cat(pieces)


def layers_of(space: ParameterSpace) -> tuple[Layer, ...]:
    """Every layer, in the order of their first tensors; together they hold every parameter once."""
    found: dict[str, dict[str, int]] = {}
    for name, size in space.sizes.items():
        found.setdefault(name.rpartition(".")[0] or name, {})[name] = size
    return tuple(Layer(name, tensors) for name, tensors in found.items() if any(tensors.values()))
