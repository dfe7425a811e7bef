"""Values that are added to data or multiplied with it, entry by entry."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, fx

from eigengate.sweep.sample_graph import shape_of
from eigengate.sweep.uses.use import Collector, RowCollector, Use, entries_of, summed_to

_aten = torch.ops.aten


@final
@dataclass(frozen=True)
class Summand(Use):
    """X + scale · W'."""

    node: fx.Node
    operand: fx.Node
    scale: float = 1.0

    @property
    def wanted(self) -> tuple[fx.Node, ...]:
        return ()

    @property
    def floats(self) -> int:
        return entries_of(self.operand)

    def collector(self, values: Sequence[Any], samples: int, outputs: int) -> Collector:
        return _Sums(self, samples, outputs)


@final
class _Sums(RowCollector):
    def __init__(self, use: Summand, samples: int, outputs: int) -> None:
        super().__init__(samples, outputs, use.floats)
        self._use = use

    def rows(self, cotangents: Sequence[Tensor]) -> Tensor:
        rows = summed_to(cotangents[0], shape_of(self._use.operand))
        return rows if self._use.scale == 1 else rows * self._use.scale


@final
@dataclass(frozen=True)
class Factor(Use):
    """X ∘ W'."""

    node: fx.Node
    operand: fx.Node
    data: fx.Node

    @property
    def wanted(self) -> tuple[fx.Node, ...]:
        return (self.data,)

    @property
    def floats(self) -> int:
        return entries_of(self.operand)

    def collector(self, values: Sequence[Any], samples: int, outputs: int) -> Collector:
        return _Products(self, values[0], samples, outputs)


@final
class _Products(RowCollector):
    def __init__(self, use: Factor, data: Tensor, samples: int, outputs: int) -> None:
        super().__init__(samples, outputs, use.floats)
        self._shape_of_operand = shape_of(use.operand)
        missing = len(shape_of(use.node)) - (data.dim() - 1)
        self._data = data.reshape(data.shape[0], *[1] * missing, *data.shape[1:])

    def rows(self, cotangents: Sequence[Tensor]) -> Tensor:
        return summed_to(cotangents[0] * self._data, self._shape_of_operand)


def elementwise(node: fx.Node, operand: fx.Node) -> Use | None:
    """The use of a summand, a subtrahend or a factor."""
    if node.args.count(operand) != 1 or not all(isinstance(argument, fx.Node) for argument in node.args[:2]):
        return None
    scale = node.kwargs.get("alpha", 1)
    assert isinstance(scale, int | float)
    second = operand is node.args[1]
    if node.target is _aten.add.Tensor:
        return Summand(node, operand, float(scale) if second else 1.0)
    if node.target is _aten.sub.Tensor:
        return Summand(node, operand, -float(scale) if second else 1.0)
    if node.target is _aten.mul.Tensor:
        data = node.args[0] if second else node.args[1]
        assert isinstance(data, fx.Node)
        return Factor(node, operand, data)
    return None
