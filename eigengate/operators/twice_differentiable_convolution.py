"""Convolutions whose second derivatives are convolutions of the same size.

PyTorch differentiates the backward pass of a convolution through one whose kernel is as large as the image; a product
with the Hessian of a convolutional network is then three and a half gradients instead of two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_aten = torch.ops.aten


@final
@dataclass(frozen=True)
class _Geometry:
    """What a convolution is told besides its operands."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        return torch.as_tensor(_aten.convolution(x, weight, None, *self._arguments))

    def pulled(self, g: Tensor, x: Tensor, weight: Tensor, *, to_x: bool, to_weight: bool) -> tuple[Any, Any]:
        """The cotangents of x and of the weight where they are asked for, else None."""
        mask = [to_x, to_weight, False]
        gx, gw, _ = _aten.convolution_backward(g, x, weight, None, *self._arguments, mask)
        return gx, gw

    @property
    def _arguments(self) -> tuple[Any, ...]:
        return self.stride, self.padding, self.dilation, self.transposed, self.output_padding, self.groups


@final
class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return geometry(x, weight)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        x, weight = ctx.saved_tensors
        return (*_Pulled.apply(g, x, weight, ctx.geometry, *ctx.needs_input_grad[:2]), None)  # type: ignore[no-untyped-call]


@final
class _Pulled(torch.autograd.Function):
    """g, x, W ↦ the cotangents of x and of W, bilinear in all three."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, weight: Tensor, geometry: _Geometry, to_x: bool, to_weight: bool
    ) -> tuple[Any, Any]:
        ctx.save_for_backward(g, x, weight)
        ctx.set_materialize_grads(False)
        ctx.geometry = geometry
        return geometry.pulled(g, x, weight, to_x=to_x, to_weight=to_weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor | None, V: Tensor | None) -> tuple[Any, ...]:
        g, x, weight = ctx.saved_tensors
        conv: _Geometry = ctx.geometry
        to_g, to_x, to_weight = ctx.needs_input_grad[:3]
        parts = [conv(u, weight)] if to_g and u is not None else []
        parts += [conv(x, V)] if to_g and V is not None else []
        dg = sum(parts[1:], start=parts[0]) if parts else None
        dx = conv.pulled(g, x, V, to_x=True, to_weight=False)[0] if to_x and V is not None else None
        dw = conv.pulled(g, u, weight, to_x=False, to_weight=True)[1] if to_weight and u is not None else None
        return dg, dx, dw, None, None, None


def convolution(  # PyTorch's signature
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """What ``conv1d`` to ``conv3d`` return."""
    return general_convolution(input, weight, bias, stride, padding, dilation, False, 0, groups)


def general_convolution(  # noqa: PLR0913
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    *_: bool,
) -> Tensor | None:
    """What ``aten::convolution`` returns; None for a single image, or padding given as a word."""
    places = weight.dim() - 2
    if x.dim() != weight.dim() or isinstance(padding, str) or not (x.requires_grad or weight.requires_grad):
        return None
    sizes = [_spread(size, places) for size in (stride, padding, dilation, output_padding)]
    geometry = _Geometry(sizes[0], sizes[1], sizes[2], transposed, sizes[3], groups)
    y: Tensor = _Convolution.apply(x, weight, geometry)  # type: ignore[no-untyped-call]
    return y if bias is None else y + bias.reshape(-1, *[1] * places)


def _spread(size: int | Sequence[int], places: int) -> tuple[int, ...]:
    sizes = (size,) if isinstance(size, int) else tuple(size)
    return sizes if len(sizes) == places else sizes * places
