"""The random numbers of one evaluation: a seeded stream, so that a network that draws is a function all the same."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, final

import torch
from torch import Tensor

# PyTorch itself leaves the transforms in this way where a network's own random numbers must not see them.
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from eigengate.loading.torchscript.precision import Precision

SEED: Final = 0

Fill = Callable[[Tensor, torch.Generator], Tensor]
"""(empty tensor, generator) to random numbers of its shape and type."""


@contextlib.contextmanager
def seeded() -> Iterator[None]:
    """PyTorch's own random numbers are those of our draws, and afterwards what they would have been."""
    state = torch.random.get_rng_state()
    torch.default_generator.manual_seed(SEED)
    try:
        yield
    finally:
        torch.random.set_rng_state(state)


@final
class Draws:
    """Random numbers in the order in which one evaluation asks for them.

    They are drawn on the CPU, in the type that the file declares and outside of every ``torch.func`` transform, and
    converted afterwards: whatever the device, the working type and the transform, they are the same numbers.
    """

    def __init__(self, precision: Precision, floating: torch.dtype) -> None:
        """
        Args:
            precision: Where and in which type the network computes.
            floating: The floating point type of the file, which the working type stands for.
        """
        self._precision = precision
        self._floating = floating
        self._generator = torch.Generator().manual_seed(SEED)

    def make(self, shape: Sequence[int], dtype: torch.dtype, fill: Fill) -> Tensor:
        """Numbers of a type that the file names, in the type that stands for it here."""
        with temporarily_clear_interpreter_stack(), torch.no_grad():
            drawn: Tensor = self._precision.convert(fill(torch.empty(tuple(shape), dtype=dtype), self._generator))
        return drawn

    def like(self, tensor: Tensor, fill: Fill, shape: Sequence[int] | None = None) -> Tensor:
        """Numbers of a tensor's type; of its shape (that of one sample under ``vmap``) unless another is given."""
        dtype = self._floating if tensor.dtype == self._precision.dtype else tensor.dtype
        return self.make(tensor.shape if shape is None else shape, dtype, fill)
