"""The execution plan: closures over numbered slots in a straight line, and the loop that runs them."""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """One call with its slots resolved."""

    operator: str
    label: str
    run: Callable[[Frame], None]
    reads: frozenset[int]
    makes: tuple[int, ...]
    must_run: bool = False
    """It is run for what it checks, not for what it makes."""
    frees: tuple[int, ...] = ()


@final
@dataclass(frozen=True)
class Plan:
    """Everything one evaluation needs; shared by all calls and never written to."""

    steps: tuple[Step, ...]
    template: tuple[Any, ...]
    parameters: Mapping[int, str]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    randomness: Callable[[], Draws] | None = None
    """Begins the random numbers of one evaluation."""
    draws: int | None = None
    """The slot that random numbers come from, if any are drawn."""

    def run(self, params: Mapping[str, Tensor], inputs: Sequence[Any]) -> tuple[Any, ...]:
        """All outputs."""
        frame = self.frame(params, inputs)
        execute(self.steps, frame)
        return tuple(frame[slot] for slot in self.outputs)

    def frame(self, params: Mapping[str, Tensor], inputs: Sequence[Any]) -> Frame:
        """The slots as a call finds them."""
        frame = list(self.template)
        for slot, name in self.parameters.items():
            frame[slot] = params[name]
        for slot, value in zip(self.inputs, inputs, strict=True):
            frame[slot] = value
        if self.draws is not None and self.randomness is not None:
            frame[self.draws] = self.randomness()
        return frame


def step(
    function: Callable[..., Any],
    sources: tuple[int, ...],
    keywords: Mapping[str, int],
    targets: tuple[int, ...] | int,
    title: tuple[str, str],
) -> Step:
    """A call of a function.

    Args:
        function: What is called.
        sources: The slots of its positional arguments.
        keywords: The slots of its keyword arguments.
        targets: The slot of its result, or one for each element of the result.
        title: Operator and label.
    """
    call = _called(function, sources, keywords)
    made = (targets,) if isinstance(targets, int) else targets
    run = _storing(call, targets) if isinstance(targets, int) else _storing_each(call, targets)
    return Step(title[0], title[1], run, frozenset((*sources, *keywords.values())), made)


def _called(
    function: Callable[..., Any], sources: tuple[int, ...], keywords: Mapping[str, int]
) -> Callable[[Frame], Any]:
    """The call as a function of the frame alone; the frequent cases are written out because each is run so often."""
    if keywords:
        named = tuple(keywords.items())
        return lambda frame: function(*[frame[s] for s in sources], **{name: frame[s] for name, s in named})
    if not sources:
        return lambda _: function()
    if len(sources) == 1:
        (only,) = sources
        return lambda frame: function(frame[only])
    pick = operator.itemgetter(*sources)
    return lambda frame: function(*pick(frame))


def _storing(call: Callable[[Frame], Any], target: int) -> Callable[[Frame], None]:
    def run(frame: Frame) -> None:
        frame[target] = call(frame)

    return run


def _storing_each(call: Callable[[Frame], Any], targets: tuple[int, ...]) -> Callable[[Frame], None]:
    def run(frame: Frame) -> None:
        for target, value in zip(targets, call(frame), strict=True):
            frame[target] = value

    return run


def execute(steps: Sequence[Step], frame: Frame) -> None:
    """Run steps in order, dropping every value after its last use.

    Raises:
        ModelExecutionError: An operator failed; the message names the node.
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
    """Run steps in order, yielding label and value of each that has a label and makes one value."""
    for step in steps:
        execute((replace(step, frees=()),), frame)
        if step.label and len(step.makes) == 1:
            yield step.label, frame[step.makes[0]]
        for slot in step.frees:
            frame[slot] = None


def needed(steps: Sequence[Step], outputs: Sequence[int]) -> tuple[Step, ...]:
    """The steps that the outputs depend on, each with the slots marked that nobody reads after it."""
    own = {slot for step in steps for slot in step.makes}
    alive = set(outputs)
    kept: list[Step] = []
    for step in reversed(steps):
        if not step.must_run and alive.isdisjoint(step.makes):
            continue
        touched = step.reads | set(step.makes)
        kept.append(replace(step, frees=tuple(sorted((touched & own) - alive))))
        alive |= touched
    return tuple(reversed(kept))


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:300]}" if text else type(error).__name__
