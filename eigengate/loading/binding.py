"""Which probe array feeds which model input."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, final

import torch
from torch import Tensor

from eigengate.errors import ModelError, ShapeMismatchError
from eigengate.loading.dimensions import Dimensions
from eigengate.loading.probe import LABELS, Probe
from eigengate.loading.program import DimensionNames, TensorSpec

_NO_NAMES: Final[DimensionNames] = MappingProxyType({})


@final
@dataclass(frozen=True)
class Binding:
    """Model inputs [n, ...] in calling order, and the position of the first floating point one, None without any."""

    inputs: tuple[Tensor, ...]
    position: int | None

    def first(self, n: int) -> "Binding":
        """The first n samples."""
        return Binding(tuple(tensor[:n] for tensor in self.inputs), self.position)


def bind(specs: tuple[TensorSpec, ...], probe: Probe, names: DimensionNames = _NO_NAMES) -> Binding:
    """Match probe arrays with model inputs by name (a single one by position), cast them, and check their shapes.

    Args:
        specs: The model's inputs.
        probe: The arrays, [n, ...] each.
        names: What the file calls the dimensions of the inputs; dimensions of one name must have one size.

    Whole numbers for an input whose type the file does not say stay what they are, unless nothing else could be
    differentiated: a lone input is then cast, so that images may be saved as bytes.

    Raises:
        ShapeMismatchError: an input has no array, or one of another shape or kind; an array has no input; sizes differ
            that must agree; several inputs of unknown type have whole numbers, and none has any others.
        ModelError: an input is in half precision, or has its batch in two dimensions.
    """
    dimensions = Dimensions(specs, names)
    dimensions.require_batch()
    matched = _as_given(_matched(specs, probe.arrays))
    inputs = tuple(_fitted(spec, array, dimensions) for spec, array in matched)
    dimensions.require_agreement(inputs)
    floating = [position for position, tensor in enumerate(inputs) if tensor.is_floating_point()]
    return Binding(inputs, floating[0] if floating else None)


def _matched(specs: tuple[TensorSpec, ...], arrays: Mapping[str, Tensor]) -> list[tuple[TensorSpec, Tensor]]:
    sources = {spec.name: _source(spec, specs, arrays) for spec in specs}
    strangers = sorted(set(arrays) - set(sources.values()))
    if strangers:
        raise ShapeMismatchError(
            f"the probe has arrays that no input takes: {strangers}; the model's inputs are {[s.name for s in specs]}",
            hint=f"leave them out; targets are called {LABELS!r}",
        )
    return [(spec, arrays[sources[spec.name]]) for spec in specs]


def _source(spec: TensorSpec, specs: tuple[TensorSpec, ...], arrays: Mapping[str, Tensor]) -> str:
    if spec.name in arrays:
        return spec.name
    if len(specs) == 1 and len(arrays) == 1:
        return next(iter(arrays))
    if len(specs) == 1 and "x" in arrays:
        return "x"
    hint = f"name the probe's arrays after the model's inputs: {[s.name for s in specs]}"
    if spec.name == LABELS:
        hint = f"the probe's {LABELS!r} are targets; give that input of the model another name"
    raise ShapeMismatchError(f"the probe has no array for input {spec.name!r}; it has {sorted(arrays)}", hint=hint)


def _as_given(matched: list[tuple[TensorSpec, Tensor]]) -> list[tuple[TensorSpec, Tensor]]:
    """The inputs with arrays of whole numbers in the type of these, where the file does not say theirs."""
    whole = [spec.name for spec, array in matched if _is_open(spec) and not array.is_floating_point()]
    if whole and all(_is_open(spec) and not array.is_floating_point() for spec, array in matched):
        if len(whole) == 1:
            return matched
        raise ShapeMismatchError(
            f"the file does not say the types of the inputs {whole}, and the probe has only whole numbers for them",
            hint="save what the network is differentiated by as floating point numbers: array.astype('float32')",
        )
    return [(replace(spec, dtype=array.dtype) if spec.name in whole else spec, array) for spec, array in matched]


def _is_open(spec: TensorSpec) -> bool:
    """Whether the file does not say the input's type, and nothing shows that it takes whole numbers."""
    return not spec.is_declared and spec.dtype.is_floating_point


def _fitted(spec: TensorSpec, tensor: Tensor, dimensions: Dimensions) -> Tensor:
    if spec.dtype.is_floating_point and spec.dtype.itemsize < 4:
        raise ModelError(
            f"input {spec.name!r} is {_shown_type(spec.dtype)}: too few digits to certify derivatives",
            hint="export the network in float32 (model.float())",
        )
    if spec.shape is not None and not _fits(spec.shape, tensor):
        held = ["n", *map(str, tensor.shape[1:])]
        raise ShapeMismatchError(
            f"input {spec.name!r} wants shape {dimensions.shown(spec)}, the probe holds [{', '.join(held)}]",
            hint="one sample per row of the first dimension, shaped as the model takes it",
        )
    return _cast(spec, tensor)


def _cast(spec: TensorSpec, tensor: Tensor) -> Tensor:
    """The array in the input's type.

    Floating point numbers are rounded, as they are whenever data are prepared; whole numbers are never changed.
    """
    if spec.dtype.is_floating_point:
        cast = tensor.to(spec.dtype)
        if not torch.isfinite(cast).all():
            raise ShapeMismatchError(
                f"input {spec.name!r} wants {_shown_type(spec.dtype)}, the probe holds {float(tensor.abs().max()):.3g}",
                hint="numbers as large as this are infinite to the model; scale them",
            )
        return cast
    if tensor.is_floating_point():
        raise ShapeMismatchError(
            f"input {spec.name!r} wants {_shown_type(spec.dtype)}, the probe holds {_shown_type(tensor.dtype)}",
            hint=f"save it as whole numbers: array.astype({_shown_type(spec.dtype)!r})",
        )
    low, high = _range(spec.dtype)
    smallest, largest = (int(value) for value in tensor.to(torch.int64).aminmax())
    if smallest < low or largest > high:
        raise ShapeMismatchError(
            f"input {spec.name!r} wants {_shown_type(spec.dtype)}, {low} to {high}, the probe holds {smallest} to "
            f"{largest}",
            hint="check which array belongs to which input",
        )
    return tensor.to(spec.dtype)


def _range(dtype: torch.dtype) -> tuple[int, int]:
    if dtype is torch.bool:
        return 0, 1
    return torch.iinfo(dtype).min, torch.iinfo(dtype).max


def _fits(wanted: tuple[int | None, ...], tensor: Tensor) -> bool:
    sizes = zip(wanted[1:], tensor.shape[1:], strict=False)
    return len(wanted) == tensor.ndim and all(want is None or want == got for want, got in sizes)


def _shown_type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
