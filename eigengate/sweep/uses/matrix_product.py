"""Matrices that data is multiplied with, and what is added on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from torch import Tensor, fx

from eigengate.sweep.gradients import FactoredGradients, Gradients
from eigengate.sweep.sample_graph import shape_of
from eigengate.sweep.uses.elementwise import Summand
from eigengate.sweep.uses.use import Collector, CotangentStore, Use

_aten = torch.ops.aten
_PRODUCTS: Final[Mapping[object, int]] = {
    _aten.mm.default: 0,
    _aten.bmm.default: 0,
    _aten.addmm.default: 1,
    _aten.baddbmm.default: 1,
}
"""Where in the arguments the left factor stands."""


@final
@dataclass(frozen=True)
class MatrixProduct(Use):
    """X W' or W' X, one matrix or a stack of them.

    Attributes:
        data: X.
        on_the_left: Whether W' is the left factor.
        scale: What the product is multiplied with.
    """

    node: fx.Node
    operand: fx.Node
    data: fx.Node
    on_the_left: bool
    scale: float = 1.0

    @property
    def wanted(self) -> tuple[fx.Node, ...]:
        return (self.data,)

    @property
    def floats(self) -> int:
        return shape_of(self.node).numel()

    def collector(self, values: Sequence[Any], samples: int, outputs: int) -> Collector:
        return _Factors(self, values[0], samples, outputs)


@final
class _Factors(Collector):
    def __init__(self, use: MatrixProduct, data: Tensor, samples: int, outputs: int) -> None:
        self._use, self._data = use, data
        self._store = CotangentStore(samples, outputs)

    def take(self, output: int, cotangents: Sequence[Tensor]) -> None:
        b = cotangents[0]
        b = b if b.dim() == 4 else b.unsqueeze(1)
        # Of X W', the columns of W' are the results; their places are the rows of X.
        self._store.put(output, b if self._use.on_the_left else b.mT)

    def gradients(self) -> Gradients:
        a = self._data if self._data.dim() == 4 else self._data.unsqueeze(1)
        a = a.mT if not self._use.on_the_left else a
        scaled = a if self._use.scale == 1 else a * self._use.scale
        return FactoredGradients(self._store.all, scaled, swapped=not self._use.on_the_left)


def matrix_product(node: fx.Node, operand: fx.Node) -> Use | None:
    """The use of a matrix, or of what is added to a product of matrices."""
    first = _PRODUCTS.get(node.target)
    if first is None or node.args.count(operand) != 1:
        return None
    if operand is node.args[0] and first == 1:
        return Summand(node, operand, scale=_number(node.kwargs.get("beta", 1)))
    on_the_left = operand is node.args[first]
    data = node.args[first + 1] if on_the_left else node.args[first]
    assert isinstance(data, fx.Node)
    return MatrixProduct(node, operand, data, on_the_left, _number(node.kwargs.get("alpha", 1)))


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)
