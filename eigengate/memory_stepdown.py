"""Measuring again in smaller pieces where memory runs out."""

import gc
from collections.abc import Callable
from typing import Final, final

import torch

from eigengate.contract import Coverage
from eigengate.diagnostics import Context, Diagnostic, Findings
from eigengate.errors import MemoryExhaustedError
from eigengate.refused_allocation import is_refused_allocation

_SMALLEST_SHARE: Final = 16  # of the memory budget: four halvings
_REMEDY: Final = "lower max_samples, ask for fewer quantities, or measure where more memory is free"


@final
class MemoryStepdown:
    """Runs diagnostics in one context; after an allocation was refused, in one whose pieces are half as large.

    Never in larger ones again: what ran out once would run out again, so that an audit halves at most four times in
    all. Pieces are those of half the ``memory_budget_bytes``, routes stay as planned; random streams start anew.

    Attributes:
        context: Where the next diagnostic measures. Nobody else may keep it, or what it computed stays in memory.
    """

    def __init__(self, context: Context, on_message: Callable[[str], None]) -> None:
        self.context = context
        self._on_message = on_message
        self._notes: dict[str, str] = {}

    def measure(self, diagnostic: Diagnostic) -> Findings:
        """What the diagnostic finds, in pieces as small as it takes.

        Raises:
            MemoryExhaustedError: memory does not even suffice for the smallest pieces.
        """
        while True:
            try:
                return diagnostic.measure(self.context)
            except Exception as error:
                if not is_refused_allocation(error):
                    raise
                refusal = (str(error).splitlines() or [type(error).__name__])[0][:300]
            # Only here is the error gone, and with its traceback the tensors of every frame that it went through.
            self._step_down(diagnostic.name, refusal)

    @property
    def coverage(self) -> tuple[Coverage, ...]:
        """What a reader of the report must know: one entry for each diagnostic that memory ran out in."""
        return tuple(Coverage(subject="memory", analysed=True, note=note) for note in self._notes.values())

    def _step_down(self, name: str, refusal: str) -> None:
        at_its_smallest = self.context.memory_divisor == _SMALLEST_SHARE
        self.context = self.context.afresh() if at_its_smallest else self.context.with_less_memory()
        _return_memory()
        if at_its_smallest:
            size = _mebibytes(self.context.memory_budget_bytes)
            raise MemoryExhaustedError(f"memory ran out even in pieces for {size}: {_REMEDY} ({refusal})", hint=_REMEDY)
        self._notes[name] = (
            f"memory ran out in the stage {name}; from there on work was cut into pieces for "
            f"{_mebibytes(self.context.memory_budget_bytes)} instead of {_mebibytes(self._asked)} ({refusal})"
        )
        self._on_message(self._notes[name])

    @property
    def _asked(self) -> int:
        return self.context.memory_budget_bytes * self.context.memory_divisor


def _return_memory() -> None:
    """Drop what only cycles keep (a context's parts know the context), then what torch keeps for later on GPUs."""
    gc.collect()
    torch.cuda.empty_cache()


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.4g} MiB"
