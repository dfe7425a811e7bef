"""Activations whose own backward kernels cannot be differentiated again, or not for several samples at once."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from eigengate.errors import UnsupportedOperatorError


def _hardsigmoid(self: Tensor) -> Tensor:
    return torch.clamp(self + 3.0, 0.0, 6.0) / 6.0


def _glu(self: Tensor, *, dim: int = -1) -> Tensor:
    value, gate = self.chunk(2, dim)
    return value * torch.sigmoid(gate)


def _rrelu(self: Tensor, *, lower: float = 0.125, upper: float = 1.0 / 3.0, training: bool = False, **_: Any) -> Tensor:
    """Randomised leaky ReLU outside training, where its slope is the mean of its bounds."""
    if training:
        raise UnsupportedOperatorError("rrelu draws random numbers in training", hint="Export in evaluation mode.")
    return torch.nn.functional.leaky_relu(self, (lower + upper) / 2)


def _prelu(self: Tensor, *, weight: Tensor) -> Tensor:
    """One slope for negative numbers, or one for each index of the second axis."""
    slope = weight.reshape(()) if weight.numel() == 1 else weight.reshape(-1, *[1] * (self.dim() - 2))
    # Under vmap the kernel's backward pass fails or, where shapes happen to fit, gives wrong numbers (PyTorch 2.13).
    return torch.relu(self) + slope * torch.clamp(self, max=0)


def _clamp(self: Tensor, *, min: Tensor | None = None, max: Tensor | None = None) -> Tensor:
    """Bounds that are tensors; under vmap the kernel does not broadcast."""
    raised = self if min is None else torch.where(self < min, min, self)
    return raised if max is None else torch.where(raised > max, max, raised)


def _floor_divide(self: Tensor, *, other: Tensor | float) -> Tensor:
    return torch.div(self, other, rounding_mode="floor")


def _polygamma(self: Tensor, *, n: int) -> Tensor:
    # The functional form takes the two the other way round.
    return torch.polygamma(n, self)


REWRITES: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::prelu": _prelu,
    "aten::clamp.Tensor": _clamp,
    "aten::clamp_.Tensor": _clamp,
    "aten::floor_divide": _floor_divide,
    "aten::polygamma_": _polygamma,
    "aten::hardsigmoid": _hardsigmoid,
    "aten::glu": _glu,
    "aten::rrelu": _rrelu,
}
