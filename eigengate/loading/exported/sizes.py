"""Which sizes of inputs an exported program takes: fixed numbers, symbols with ranges, and expressions of symbols."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

from eigengate.errors import ModelExecutionError, ShapeMismatchError
from eigengate.loading.exported.document import InputTensor
from eigengate.loading.exported.symbols import Expression, Symbol
from eigengate.loading.program import TensorSpec

# PyTorch itself lets sizes 0 and 1 through where it has written a smallest size of 2.
_NEVER_ENFORCED: Final = 2
_HINT: Final = "Export it again with sizes that may vary: torch.export.export(..., dynamic_shapes=...)."


@final
@dataclass(frozen=True)
class Sizes:
    """The sizes that a program declares for its inputs."""

    inputs: tuple[InputTensor, ...]
    ranges: Mapping[str, tuple[int | None, int | None]]

    def specs(self) -> tuple[TensorSpec, ...]:
        """The inputs with None for every size that may vary."""
        return tuple(
            TensorSpec(
                tensor.name, tensor.dtype, tuple(size if isinstance(size, int) else None for size in tensor.sizes)
            )
            for tensor in self.inputs
        )

    def names(self) -> dict[str, tuple[str | None, ...]]:
        """What sizes that may vary are called, by input."""
        return {
            tensor.name: tuple(size.name if isinstance(size, Symbol) else None for size in tensor.sizes)
            for tensor in self.inputs
        }

    def require(self, tensors: Sequence[Tensor]) -> None:
        """Refuse inputs of sizes for which the program was not exported: it could compute something else.

        Raises:
            ModelExecutionError: Their number is wrong.
            ShapeMismatchError: Their sizes are.
        """
        if len(tensors) != len(self.inputs):
            names = ", ".join(tensor.name for tensor in self.inputs)
            raise ModelExecutionError(f"The model takes {len(self.inputs)} input(s) ({names}), not {len(tensors)}")
        known: dict[str, int] = {}
        open_ends: list[tuple[InputTensor, torch.Size, Expression, int]] = []
        for declared, tensor in zip(self.inputs, tensors, strict=True):
            shape = tensor.shape
            if len(shape) != len(declared.sizes):
                raise _mismatch(declared, shape, f"{len(declared.sizes)} dimensions")
            for wanted, size in zip(declared.sizes, shape, strict=True):
                if isinstance(wanted, Symbol):
                    self._bind(wanted.name, size, known, declared, shape)
                elif isinstance(wanted, Expression):
                    open_ends.append((declared, shape, wanted, size))
                elif wanted != size:
                    raise _mismatch(declared, shape, f"size {wanted} where it has {size}")
        for declared, shape, expression, size in open_ends:
            self._solve(expression, size, known, declared, shape)

    def _bind(self, symbol: str, size: int, known: dict[str, int], declared: InputTensor, shape: torch.Size) -> None:
        if known.setdefault(symbol, size) != size:
            raise _mismatch(declared, shape, f"size {known[symbol]}, as elsewhere, where it has {size}")
        low, high = self.ranges.get(symbol, (None, None))
        if (low is not None and low > _NEVER_ENFORCED and size < low) or (high is not None and size > high):
            raise _mismatch(declared, shape, f"a size from {low} to {high} where it has {size}")

    def _solve(
        self, expression: Expression, size: int, known: dict[str, int], declared: InputTensor, shape: torch.Size
    ) -> None:
        """Find the one symbol that is not known yet, where the expression is linear in it, and compare the values."""
        unknown = expression.symbols - known.keys()
        if len(unknown) == 1:
            (symbol,) = unknown
            offset, first, second = (_value(expression, {**known, symbol: value}) for value in (0, 1, 2))
            if None in (offset, first, second) or second - first != first - offset or first == offset:  # type: ignore[operator]
                return
            number = (size - offset) / (first - offset)  # type: ignore[operator]
            if number != int(number):
                raise _mismatch(declared, shape, f"another size than {size}")
            self._bind(symbol, int(number), known, declared, shape)
        elif not unknown and _value(expression, known) != size:
            raise _mismatch(declared, shape, f"size {_value(expression, known)} where it has {size}")


def _value(expression: Expression, known: Mapping[str, int]) -> float | None:
    try:
        return float(expression.value(known))
    except (ArithmeticError, TypeError, ValueError):
        return None


def _mismatch(declared: InputTensor, shape: torch.Size, wanted: str) -> ShapeMismatchError:
    return ShapeMismatchError(
        f"input {declared.name!r} of shape {list(shape)} does not fit: the program was exported for {wanted}",
        hint=_HINT,
    )
