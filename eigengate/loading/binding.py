"""Which probe array feeds which model input."""

from dataclasses import dataclass
from typing import final

from torch import Tensor

from eigengate.errors import ModelError, NotDifferentiableError, ShapeMismatchError
from eigengate.loading.probe import Probe
from eigengate.loading.program import TensorSpec


@final
@dataclass(frozen=True)
class Binding:
    """Model inputs [n, ...] in calling order, and the position of the differentiable one."""

    inputs: tuple[Tensor, ...]
    position: int

    def first(self, n: int) -> "Binding":
        """The first n samples."""
        return Binding(tuple(tensor[:n] for tensor in self.inputs), self.position)


def bind(specs: tuple[TensorSpec, ...], probe: Probe) -> Binding:
    """Match probe arrays with model inputs by name (a single one by position), cast them, and check their shapes.

    Raises:
        ShapeMismatchError: an input has no array, or one of another shape or kind.
        NotDifferentiableError: no input is floating point.
        ModelError: an input is in half precision.
    """
    inputs = tuple(_fitted(spec, _array(spec, specs, probe)) for spec in specs)
    floating = [position for position, tensor in enumerate(inputs) if tensor.is_floating_point()]
    if not floating:
        raise NotDifferentiableError(
            f"no input is floating point: {[f'{spec.name}: {spec.dtype}' for spec in specs]}",
            hint="integer inputs such as tokens are not supported yet; export the network from its embeddings on",
        )
    return Binding(inputs, floating[0])


def _array(spec: TensorSpec, specs: tuple[TensorSpec, ...], probe: Probe) -> Tensor:
    if spec.name in probe.arrays:
        return probe.arrays[spec.name]
    if len(specs) == 1 and len(probe.arrays) == 1:
        return next(iter(probe.arrays.values()))
    if len(specs) == 1 and "x" in probe.arrays:
        return probe.arrays["x"]
    raise ShapeMismatchError(
        f"the probe has no array for input {spec.name!r}; it has {sorted(probe.arrays)}",
        hint=f"name the probe's arrays after the model's inputs: {[s.name for s in specs]}",
    )


def _fitted(spec: TensorSpec, tensor: Tensor) -> Tensor:
    if spec.dtype.is_floating_point and spec.dtype.itemsize < 4:
        raise ModelError(
            f"input {spec.name!r} is {str(spec.dtype).removeprefix('torch.')}: too few digits to certify derivatives",
            hint="export the network in float32 (model.float())",
        )
    if tensor.is_floating_point() and not spec.dtype.is_floating_point:
        raise ShapeMismatchError(f"input {spec.name!r} wants {spec.dtype}, the probe holds {tensor.dtype}")
    tensor = tensor.to(spec.dtype)
    if spec.shape is not None and not _fits(spec.shape, tensor):
        raise ShapeMismatchError(
            f"input {spec.name!r} wants shape {_shown(spec.shape)}, the probe holds {_shown(tuple(tensor.shape))}",
            hint="one sample per row of the first dimension, shaped as the model takes it",
        )
    return tensor


def _fits(wanted: tuple[int | None, ...], tensor: Tensor) -> bool:
    sizes = zip(wanted[1:], tensor.shape[1:], strict=False)
    return len(wanted) == tensor.ndim and all(want is None or want == got for want, got in sizes)


def _shown(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join(["n", *("?" if size is None else str(size) for size in shape[1:])]) + "]"
