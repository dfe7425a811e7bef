"""Tables that data is looked up in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast, final

import torch
from torch import Tensor, fx

from eigengate.sweep.gradients import Gradients, LookedUpGradients
from eigengate.sweep.sample_graph import shape_of
from eigengate.sweep.uses.use import Collector, CotangentStore, Use

_aten = torch.ops.aten


@final
@dataclass(frozen=True)
class Table(Use):
    """The rows of W' that a sample reads.

    Attributes:
        places: Numbers of the rows read.
        constant: The row that is not learnt, −1 for none.
    """

    node: fx.Node
    operand: fx.Node
    places: fx.Node
    constant: int

    @property
    def wanted(self) -> tuple[fx.Node, ...]:
        return (self.places,)

    @property
    def floats(self) -> int:
        return shape_of(self.node).numel()

    def collector(self, values: Sequence[Any], samples: int, outputs: int) -> Collector:
        return _Read(self, values[0], samples, outputs)


@final
class _Read(Collector):
    def __init__(self, use: Table, places: Tensor, samples: int, outputs: int) -> None:
        self._use = use
        places = places.flatten(1) if places.dim() > 1 else places.unsqueeze(1)
        self._places = places.masked_fill(places == use.constant, -1)
        self._store = CotangentStore(samples, outputs)

    def take(self, output: int, cotangents: Sequence[Tensor]) -> None:
        b = cotangents[0]
        self._store.put(output, b.reshape(b.shape[0], -1, b.shape[-1]))

    def gradients(self) -> Gradients:
        return LookedUpGradients(self._store.all, self._places, shape_of(self._use.operand)[0])


def lookup(node: fx.Node, operand: fx.Node) -> Use | None:
    """The use of a table that is read row by row."""
    if node.target is not _aten.embedding.default or operand is not node.args[0] or operand is node.args[1]:
        return None
    constant = node.args[2] if len(node.args) > 2 else -1
    scaled = node.args[3] if len(node.args) > 3 else False
    if scaled:
        return None
    return Table(node, operand, cast(fx.Node, node.args[1]), cast(int, constant))
