"""How a sweep is cut into pieces that fit into memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

from eigengate.errors import BudgetExceededError
from eigengate.operators.batches import activation_floats
from eigengate.operators.subject import Subject
from eigengate.sweep.parameter_group import ParameterGroup

_FORWARD_SHARE: Final = 4  # a quarter of the memory budget for the forward pass
_KEPT_SHARE: Final = 2  # half of it for what backward passes leave
_COPIES: Final = 3  # of every value of the forward pass: itself, what its gradient needs, its gradient


@final
@dataclass(frozen=True)
class SweepPlan:
    """Which samples are recorded together, and which parameters are collected in one go.

    Attributes:
        tiles: Rows of the probe set.
        rounds: Parameters, last layers first; the last round reaches the input as well.
    """

    tiles: tuple[Tensor, ...]
    rounds: tuple[tuple[ParameterGroup, ...], ...]

    @classmethod
    def of(
        cls, subject: Subject, outputs: int, groups: Sequence[ParameterGroup], *, memory_budget_bytes: int
    ) -> "SweepPlan":
        """One tile and one round if memory allows.

        Raises:
            BudgetExceededError: not even one sample's gradients by one group of parameters fit.
        """
        room = memory_budget_bytes // _KEPT_SHARE
        forward = _COPIES * activation_floats(subject) * subject.dtype.itemsize
        each = [outputs * group.floats * subject.dtype.itemsize for group in groups]
        largest = max(each, default=0)
        if largest > room:
            raise BudgetExceededError(
                f"what {outputs} backward passes of one sample leave for {sorted(_largest(groups).names)[:3]} takes "
                f"{largest:,} bytes, more than half of the memory budget of {memory_budget_bytes:,} bytes",
                hint="raise memory_budget_bytes, or exclude large tensors with parameters.exclude",
            )
        at_once = memory_budget_bytes // _FORWARD_SHARE // max(forward, 1)
        tile = max(1, min(subject.n, at_once, room // max(largest, 1)))
        rows = torch.arange(subject.n, device=subject.x.device)
        rounds = tuple(_packed(list(zip(groups, each, strict=True))[::-1], room // tile))
        return cls(torch.split(rows, tile), rounds or ((),))

    def pairs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every pair of tiles once, equal ones first."""
        for i, rows in enumerate(self.tiles):
            for others in self.tiles[i:]:
                yield rows, others

    def passes(self, outputs: int) -> int:
        """How many backward passes it takes."""
        T = len(self.tiles)
        rounds = len(self.rounds)
        return outputs * (rounds * T * (T + 1) // 2 if self.rounds[0] else T)


def _largest(groups: Sequence[ParameterGroup]) -> ParameterGroup:
    return max(groups, key=lambda group: group.floats)


def _packed(sized: Sequence[tuple[ParameterGroup, int]], room: int) -> Iterator[tuple[ParameterGroup, ...]]:
    """Consecutive groups that together fit into the room."""
    pack: list[ParameterGroup] = []
    taken = 0
    for group, size in sized:
        if pack and taken + size > room:
            yield tuple(pack)
            pack, taken = [], 0
        pack.append(group)
        taken += size
    if pack:
        yield tuple(pack)
