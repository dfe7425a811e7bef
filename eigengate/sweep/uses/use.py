"""A place in the graph where a parameter meets data."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, fx

from eigengate.sweep.gradients import GradientRows, Gradients
from eigengate.sweep.sample_graph import is_floating, shape_of


class Use(abc.ABC):
    """One static operand W' of one operator, and how gradients by it follow from the operator's cotangents.

    Attributes:
        node: The operator.
        operand: The static value W'.
    """

    node: fx.Node
    operand: fx.Node

    @property
    @abc.abstractmethod
    def wanted(self) -> tuple[fx.Node, ...]:
        """Values of the graph that the gradients are made of besides cotangents."""

    @property
    def results(self) -> tuple[fx.Node, ...]:
        """The operator's results through which W' acts on the rest of the network."""
        return results_of(self.node)

    @property
    @abc.abstractmethod
    def floats(self) -> int:
        """Numbers kept for each sample and output."""

    @abc.abstractmethod
    def collector(self, values: Sequence[Any], samples: int, outputs: int) -> "Collector":
        """Something to collect gradients with.

        Args:
            values: The wanted values [n, ...].
            samples: n.
            outputs: C.
        """


class Collector(abc.ABC):
    """Takes the cotangents of one backward pass after the other."""

    @abc.abstractmethod
    def take(self, output: int, cotangents: Sequence[Tensor]) -> None:
        """The cotangents [n, ...] of the use's results, pulled back from one output of the network."""

    @abc.abstractmethod
    def gradients(self) -> Gradients:
        """What has been collected."""


class RowCollector(Collector):
    """Collects gradients written out: one row for every sample and output."""

    def __init__(self, samples: int, outputs: int, entries: int) -> None:
        self._shape = (samples, outputs, entries)
        self._rows: Tensor | None = None

    @abc.abstractmethod
    def rows(self, cotangents: Sequence[Tensor]) -> Tensor:
        """The gradients [n, ...] by W' of one output."""

    @final
    def take(self, output: int, cotangents: Sequence[Tensor]) -> None:
        rows = self.rows(cotangents)
        if self._rows is None:
            self._rows = rows.new_zeros(self._shape)
        self._rows[:, output] = rows.reshape(self._shape[0], -1)

    @final
    def gradients(self) -> Gradients:
        assert self._rows is not None
        return GradientRows(self._rows)


@final
@dataclass
class CotangentStore:
    """Cotangents of all outputs side by side, reshaped as they come."""

    samples: int
    outputs: int
    kept: Tensor | None = None

    def put(self, output: int, cotangent: Tensor) -> None:
        """Keep one output's cotangent [n, ...]."""
        if self.kept is None:
            shape = (self.samples, self.outputs, *cotangent.shape[1:])
            self.kept = torch.empty(shape, dtype=cotangent.dtype, device=cotangent.device)
        self.kept[:, output] = cotangent

    @property
    def all(self) -> Tensor:
        """[n, C, ...]."""
        assert self.kept is not None
        return self.kept


def results_of(node: fx.Node) -> tuple[fx.Node, ...]:
    """The floating point results of an operator: itself, or the members of its tuple that somebody reads."""
    if not isinstance(node.meta.get("val"), tuple | list):
        return (node,) if is_floating(node) else ()
    return tuple(user for user in node.users if is_floating(user) and user.users)


def summed_to(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """[n, ...] summed over what broadcasting a value of ``shape`` repeats: [n, *shape]."""
    surplus = tensor.dim() - 1 - len(shape)
    tensor = tensor.sum(dim=tuple(range(1, 1 + surplus))) if surplus else tensor
    repeated = tuple(i + 1 for i, size in enumerate(shape) if size == 1 and tensor.shape[i + 1] != 1)
    return tensor.sum(dim=repeated, keepdim=True) if repeated else tensor


def entries_of(node: fx.Node) -> int:
    """Number of entries of a value."""
    return shape_of(node).numel()
