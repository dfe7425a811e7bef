"""How a network takes batches, where its file leaves no choice."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, final

import torch
from torch import Tensor

from eigengate.errors import ModelExecutionError, ShapeMismatchError

# The sizes of batches that people export with. A network that takes the first two takes any.
_SIZES: Final = (*range(1, 9), 10, 12, 16, 32, 64)
# How vmap says that a value was read, or a shape depends on one; of operators it merely cannot batch it says otherwise.
_SIGNS_OF_READING: Final = ("calling .item()", "data-dependent", "dynamic shape", "masked_select", "have storage")


@final
@dataclass(frozen=True)
class Batching:
    """How a network has to be run on batches.

    Args:
        size: How many samples it takes at once, None if any number.
        by_value: Whether the network decides by the values it is given what to compute: its samples cannot run side by
            side under ``vmap``, and might influence each other's results in a batch.
        origin: Whether the size is declared, or was found written into the network, or is free.
        draws: Whether the network draws random numbers. Every sample then gets the same ones: a full batch too is run
            sample by sample.
    """

    size: int | None
    by_value: bool = False
    origin: Literal["declared", "written", "free"] = "free"
    draws: bool = False

    @classmethod
    def of_draws(cls, shapes: Iterable[tuple[int | None, ...] | None]) -> "Batching":
        """How a network that draws random numbers is run, by the shapes that its inputs are declared with."""
        declared = next((shape[0] for shape in shapes if shape and shape[0] is not None), None)
        return cls(declared or 1, origin="declared" if declared else "free", draws=True)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the report must know: nothing of a network that takes batches as they come."""
        if self.size is None:
            return ()
        if self.origin == "free" and not self.by_value:
            return ("every sample is run alone, so that all get the same random numbers",)
        if self.origin == "free":
            return (f"{_BY_VALUE}: every sample is run alone, one after the other",)
        batches = "single samples" if self.size == 1 else f"batches of exactly {self.size} samples"
        how = "is run alone" if self.size == 1 else "is run alone, repeated to fill a batch"
        order = f"; one after the other, because {_BY_VALUE}" if self.by_value else ""
        return (f"{_ORIGINS[self.origin].format(batches)}: every sample {how}{order}",)


_BY_VALUE: Final = "the network decides by its data what to compute"
_ORIGINS: Final = {
    "declared": "the file was exported for {}",
    "written": "the input is declared for any batch, but the network runs only with {}, a size that the exporter wrote "
    "into it",
}


def only_size(runs: Callable[[tuple[Tensor, ...]], object], inputs: tuple[Tensor, ...]) -> int | None:
    """The size of the batches that a network runs with, None if it runs with any or with none that was tried.

    Exporters write the size of the example batch into the file wherever the network computed with it, though the input
    is declared free: a reshape to [1, -1] or [4, 16] then fails for every other batch. ``runs`` is tried on the first
    sample of ``inputs``, repeated, and raises if that fails.
    """
    takes_one, takes_two = (_succeeds(runs, repeated(inputs, size)) for size in _SIZES[:2])
    if takes_one:
        return None if takes_two else 1
    return 2 if takes_two else next((s for s in _SIZES[2:] if _succeeds(runs, repeated(inputs, s))), None)


def decides_by_value(function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> bool:
    """Whether the function of one sample reads the sample's values to decide what to compute: so says ``vmap``."""
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of operators that vmap batches slowly
            torch.vmap(function)(*repeated(inputs, 2))
    except ModelExecutionError as error:
        return any(sign in str(error) for sign in _SIGNS_OF_READING)
    return False


def repeated(inputs: tuple[Tensor, ...], size: int) -> tuple[Tensor, ...]:
    """The first sample ``size`` times."""
    return tuple(tensor[:1].expand(size, *tensor.shape[1:]) for tensor in inputs)


def samples_of(inputs: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, ...]]:
    """The samples of a batch, one after the other."""
    return zip(*(tensor.unbind() for tensor in inputs), strict=True)


def _succeeds(runs: Callable[[tuple[Tensor, ...]], object], batch: tuple[Tensor, ...]) -> bool:
    try:
        with torch.no_grad():
            runs(batch)
    except (ModelExecutionError, ShapeMismatchError):
        return False
    return True
