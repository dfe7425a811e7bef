"""Any operator at all: its own pull-back, sample by sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, fx

from eigengate.loading.autodiff import vjp
from eigengate.sweep.quiet import quiet
from eigengate.sweep.uses.use import Collector, RowCollector, Use, entries_of


@final
@dataclass(frozen=True)
class AnyOperator(Use):
    """Gradients by W' as automatic differentiation of the one operator gives them.

    Attributes:
        others: The remaining operands, data and static ones, all of them wanted.
    """

    node: fx.Node
    operand: fx.Node

    @property
    def wanted(self) -> tuple[fx.Node, ...]:
        return tuple(self.node.all_input_nodes)

    @property
    def floats(self) -> int:
        return entries_of(self.operand)

    def collector(self, values: Sequence[Any], samples: int, outputs: int) -> Collector:
        return _Pulled(self, values, samples, outputs)

    def function(self, values: Sequence[Any], w: Tensor) -> tuple[Tensor, ...]:
        """The operator's results of one sample, as a function of W'."""
        known = dict(zip(self.wanted, values, strict=True)) | {self.operand: w}
        args, kwargs = fx.node.map_arg((self.node.args, self.node.kwargs), known.__getitem__)
        assert callable(self.node.target)
        outcome = self.node.target(*args, **kwargs)
        if isinstance(outcome, Tensor):
            return (outcome,)
        return tuple(outcome[int(str(result.args[1]))] for result in self.results)


@final
class _Pulled(RowCollector):
    def __init__(self, use: AnyOperator, values: Sequence[Any], samples: int, outputs: int) -> None:
        super().__init__(samples, outputs, use.floats)
        self._use, self._values = use, tuple(values)
        self._w = self._values[use.wanted.index(use.operand)][0]

    def rows(self, cotangents: Sequence[Tensor]) -> Tensor:
        def pulled(values: tuple[Tensor, ...], cotangent: tuple[Tensor, ...]) -> Tensor:
            _, pull = vjp(lambda w: self._use.function(values, w), self._w)
            return torch.as_tensor(pull(cotangent))

        with quiet():
            return torch.vmap(pulled)(self._values, tuple(cotangents))
