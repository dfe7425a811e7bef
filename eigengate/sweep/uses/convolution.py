"""Kernels of convolutions, and what is added to their results."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast, final

import torch
from torch import Tensor, fx

from eigengate.sweep.gradients import FactoredGradients, Gradients
from eigengate.sweep.patches import patches
from eigengate.sweep.sample_graph import shape_of
from eigengate.sweep.uses.use import Collector, CotangentStore, RowCollector, Use, entries_of

_aten = torch.ops.aten
_CONVOLUTIONS: Final = frozenset({_aten.convolution.default, _aten._convolution.default})


@final
@dataclass(frozen=True)
class Kernel(Use):
    """The kernel of a convolution, grouped, dilated or transposed, in one to three dimensions."""

    node: fx.Node
    operand: fx.Node

    @property
    def data(self) -> fx.Node:
        """What is convolved."""
        return cast(fx.Node, self.node.args[0])

    @property
    def wanted(self) -> tuple[fx.Node, ...]:
        return (self.data,)

    @property
    def is_transposed(self) -> bool:
        return bool(self.node.args[6])

    @property
    def groups(self) -> int:
        return cast(int, self.node.args[8])

    @property
    def floats(self) -> int:
        window = shape_of(self.operand)[2:].numel()
        return shape_of(self.node).numel() * (window if self.is_transposed else 1)

    def patches(self, x: Tensor) -> Tensor:
        """What the kernel sees of a tensor [n, 1, channels, ...]: [n, groups, entries, places]."""
        n, dimensions = x.shape[0], len(shape_of(self.operand)) - 2
        stride, padding, dilation = (_per_dimension(self.node.args[i], dimensions) for i in (3, 4, 5))
        seen = patches(
            x.flatten(0, 1), kernel=shape_of(self.operand)[2:], stride=stride, padding=padding, dilation=dilation
        )
        seen = seen.reshape(n, -1, self.groups, seen.shape[1] // self.groups * seen.shape[2], seen.shape[3])
        return seen.permute(0, 2, 3, 1, 4).flatten(3)

    def places(self, x: Tensor) -> Tensor:
        """A tensor [n, 1, channels, ...] as [n, groups, channels, places]."""
        n, ones, channels = x.shape[:3]
        split = x.reshape(n, ones, self.groups, channels // self.groups, -1)
        return split.permute(0, 2, 3, 1, 4).flatten(3)

    def collector(self, values: Sequence[Any], samples: int, outputs: int) -> Collector:
        return (
            _Transposed(self, values[0], samples, outputs)
            if self.is_transposed
            else _Plain(self, values[0], samples, outputs)
        )


@final
class _Plain(Collector):
    """The results' cotangents against what the kernel saw."""

    def __init__(self, use: Kernel, data: Tensor, samples: int, outputs: int) -> None:
        self._use, self._data = use, data
        self._store = CotangentStore(samples, outputs)

    def take(self, output: int, cotangents: Sequence[Tensor]) -> None:
        self._store.put(output, self._use.places(cotangents[0]))

    def gradients(self) -> Gradients:
        return FactoredGradients(self._store.all, self._use.patches(self._data))


@final
class _Transposed(Collector):
    """A transposed convolution is the adjoint of a plain one: data and cotangents have changed places."""

    def __init__(self, use: Kernel, data: Tensor, samples: int, outputs: int) -> None:
        self._use, self._data = use, use.places(data)
        self._store = CotangentStore(samples, outputs)

    def take(self, output: int, cotangents: Sequence[Tensor]) -> None:
        seen = self._use.patches(cotangents[0])
        # Output padding wider than the stride adds windows that no input belongs to.
        self._store.put(output, seen[..., : self._data.shape[-1]])

    def gradients(self) -> Gradients:
        return FactoredGradients(self._store.all, self._data, swapped=True)


@final
@dataclass(frozen=True)
class ChannelBias(Use):
    """What is added to every channel of a convolution's result."""

    node: fx.Node
    operand: fx.Node

    @property
    def wanted(self) -> tuple[fx.Node, ...]:
        return ()

    @property
    def floats(self) -> int:
        return entries_of(self.operand)

    def collector(self, values: Sequence[Any], samples: int, outputs: int) -> Collector:
        return _ChannelSums(samples, outputs, self.floats)


@final
class _ChannelSums(RowCollector):
    def rows(self, cotangents: Sequence[Tensor]) -> Tensor:
        return cotangents[0].flatten(3).sum(dim=(1, 3))


def convolution(node: fx.Node, operand: fx.Node) -> Use | None:
    """The use of a kernel or a bias; None where the data itself is static or not a batch."""
    if node.target not in _CONVOLUTIONS or node.args.count(operand) != 1 or operand is node.args[0]:
        return None
    if len(shape_of(node)) != len(shape_of(cast(fx.Node, node.args[1]))):
        return None
    return Kernel(node, operand) if operand is node.args[1] else ChannelBias(node, operand)


def _per_dimension(value: object, dimensions: int) -> tuple[int, ...]:
    sizes = tuple(cast(Sequence[int], value))
    return sizes if len(sizes) == dimensions else sizes * dimensions
