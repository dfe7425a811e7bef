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

_USABLE: Final = 7 / 8  # of the memory budget; the rest is for the products of one parameter's gradients
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
        """The fewest backward passes that memory allows: one tile and one round if it can.

        Raises:
            BudgetExceededError: not even one sample's gradients by one group of parameters fit.
        """
        size = subject.dtype.itemsize
        forward = _COPIES * activation_floats(subject) * size
        sized = [(group, outputs * group.floats * size) for group in reversed(groups)]
        room = int(_USABLE * memory_budget_bytes)
        plans = [plan for T in range(1, subject.n + 1) if (plan := cls._of_tiles(subject, T, forward, sized, room))]
        if not plans:
            raise _too_large(groups, outputs, max(taken for _, taken in sized), memory_budget_bytes)
        return min(plans, key=lambda plan: plan.passes(outputs) * len(plan.tiles[0]))

    @classmethod
    def _of_tiles(
        cls, subject: Subject, count: int, forward: int, sized: Sequence[tuple[ParameterGroup, int]], room: int
    ) -> "SweepPlan | None":
        """As many rounds as ``count`` tiles need; None where the passes of a sample do not fit beside its gradients."""
        tile = -(-subject.n // count)
        # While two tiles meet, what is left of both is there; passes for a single sample have to fit in any case.
        each = (room - tile * forward) // (tile * min(count, 2)) if tile > 1 else room // min(count, 2)
        if each < max((taken for _, taken in sized), default=0):
            return None
        rows = torch.arange(subject.n, device=subject.x.device)
        return cls(torch.split(rows, tile), tuple(_packed(sized, each)) or ((),))

    def passes(self, outputs: int) -> int:
        """How many backward passes it takes."""
        T = len(self.tiles)
        rounds = len(self.rounds)
        return outputs * (rounds * T * (T + 1) // 2 if self.rounds[0] else T)


def _too_large(groups: Sequence[ParameterGroup], outputs: int, taken: int, budget: int) -> BudgetExceededError:
    names = sorted(max(groups, key=lambda group: group.floats).names)[:3]
    return BudgetExceededError(
        f"what {outputs} backward passes of one sample leave for {names} takes {taken:,} bytes, more than there is "
        f"room for in the memory budget of {budget:,} bytes",
        hint="raise memory_budget_bytes, or exclude large tensors with parameters.exclude",
    )


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
