"""The execution plan: closures over numbered slots, and the loop that runs them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from torch import Tensor

from eigengate.errors import EigengateError, MemoryExhaustedError, ModelExecutionError
from eigengate.loading.torchscript.draws import Draws
from eigengate.refused_allocation import is_refused_allocation

Frame = list[Any]


@final
@dataclass(frozen=True, slots=True)
class Step:
    """One operator with its slots resolved."""

    operator: str
    label: str
    run: Callable[[Frame], None]
    reads: frozenset[int]
    makes: tuple[int, ...]
    """Slots this step is the first to fill; an in-place operator refills a slot and makes none."""
    result: int | None
    """The slot of its value, made or refilled."""
    frees: tuple[int, ...] = ()


@final
@dataclass(frozen=True)
class Plan:
    """Everything one evaluation needs; shared by all calls and never written to."""

    steps: tuple[Step, ...]
    template: Sequence[Any]
    parameters: dict[int, str]
    inputs: tuple[int, ...]
    outputs: tuple[tuple[int, tuple[Any, ...]], ...]
    """Slot and path into it (tuple positions, dictionary keys) of every output."""
    fresh: tuple[int, ...]
    """Slots whose lists and dictionaries each call needs for itself."""
    reads_data: tuple[str, ...]
    """Labels of the steps that turn tensor data into Python numbers."""
    randomness: Callable[[], Draws]
    """Begins the random numbers of one evaluation."""
    draws: int | None = None
    """The slot that random numbers come from, if any are drawn."""

    def frame(self, params: Any, inputs: Sequence[Tensor]) -> Frame:
        """The slots as a call finds them."""
        frame = list(self.template)
        for slot, name in self.parameters.items():
            frame[slot] = params[name]
        for slot, tensor in zip(self.inputs, inputs, strict=True):
            frame[slot] = tensor
        for slot in self.fresh:
            frame[slot] = _own(frame[slot])
        if self.draws is not None:
            frame[self.draws] = self.randomness()
        return frame

    def results(self, frame: Frame) -> tuple[Tensor, ...]:
        """The outputs in a finished frame.

        Raises:
            ModelExecutionError: One of them is optional, and there is none for these inputs.
        """
        results = []
        for place, (slot, path) in enumerate(self.outputs):
            value = frame[slot]
            for key in path:
                value = value[key]
            if value is None:
                # The executor leaves it out, and the outputs behind it would be taken for one another.
                raise ModelExecutionError(
                    f"Output {place} of the model is None for these inputs",
                    hint="Wrap the model so that forward returns the same tensors for every input.",
                )
            results.append(value)
        return tuple(results)


def _own(value: Any) -> Any:
    """A container with the containers in it anew, around the same tensors."""
    if isinstance(value, list):
        return [_own(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_own(item) for item in value)
    return {key: _own(item) for key, item in value.items()} if isinstance(value, dict) else value


def execute(steps: Sequence[Step], frame: Frame) -> None:
    """Run steps in order, dropping every value after its last use.

    Raises:
        ModelExecutionError: An operator failed or the model raised; the message names the node.
        MemoryExhaustedError: Memory ran out.
    """
    step = None
    try:
        for step in steps:
            step.run(frame)
            for slot in step.frees:
                frame[slot] = None
    except EigengateError:
        raise
    except Exception as error:
        assert step is not None
        if is_refused_allocation(error):
            raise MemoryExhaustedError(f"out of memory in {step.label}: {_first_line(error)}") from error
        raise ModelExecutionError(
            f"{step.label} failed: {_first_line(error)}",
            hint="Check that the probe data has the shape and type the model was exported for.",
            context={"node": step.label, "operator": step.operator},
        ) from error


def stepwise(steps: Sequence[Step], frame: Frame) -> Iterator[tuple[str, Any]]:
    """Run steps in order, yielding each step's label and value."""
    for step in steps:
        execute((step if step.result is None else replace(step, frees=()),), frame)
        if step.result is not None:
            yield step.label, frame[step.result]
        for slot in step.frees:
            frame[slot] = None


def with_frees(steps: Sequence[Step], kept: Sequence[int]) -> tuple[Step, ...]:
    """Mark after each step the slots, made by these steps, that nobody reads any more."""
    own = {slot for step in steps for slot in step.makes}
    alive = set(kept)
    marked: list[Step] = []
    for step in reversed(steps):
        touched = step.reads | set(step.makes)
        marked.append(replace(step, frees=tuple(sorted((touched & own) - alive))))
        alive |= touched
    return tuple(reversed(marked))


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:300]}" if text else type(error).__name__
