"""Whether the sizes of all inputs agree: the batch, and every dimension that the file gives a name."""

from collections.abc import Sequence
from typing import final

from torch import Tensor

from eigengate.errors import ModelError, ShapeMismatchError
from eigengate.loading.program import DimensionNames, TensorSpec

_BAKE = "store what is the same for all samples in the file, as an initializer, and give the rest a batch dimension"


@final
class Dimensions:
    """The dimensions of a network's inputs: the first is the batch, others may be known by name.

    Args:
        specs: The inputs.
        names: What the file calls their dimensions.
    """

    def __init__(self, specs: Sequence[TensorSpec], names: DimensionNames) -> None:
        self._specs = tuple(specs)
        self._names = names

    def require_batch(self) -> None:
        """Refuse a network whose inputs are not all batches of samples.

        Raises:
            ShapeMismatchError: an input is a scalar, or the batches are declared with different sizes.
            ModelError: the size of the batch is the size of another dimension too.
        """
        for spec in self._specs:
            if spec.shape == ():
                raise ShapeMismatchError(
                    f"input {spec.name!r} is a scalar, one for all samples; the probe holds one value per sample",
                    hint=_BAKE,
                )
            names = self._names.get(spec.name, ())
            if names and names[0] is not None and names[0] in names[1:]:
                raise ModelError(
                    f"input {spec.name!r} of shape {self.shown(spec)} has the batch {names[0]!r} in two dimensions: "
                    "samples cannot be told apart",
                    hint="export the network with the batch as the first dimension of every input, and there alone",
                )
        self._require_one_size()

    def _require_one_size(self) -> None:
        sizes = {spec.name: spec.shape[0] for spec in self._specs if spec.shape}
        # A batch of one fits beside a free one: every sample then runs alone.
        fixed = set(sizes.values()) - {None}
        if len(fixed) > 1 or (fixed and None in sizes.values() and fixed != {1}):
            shapes = ", ".join(f"{spec.name}: {self.shown(spec)}" for spec in self._specs if spec.shape)
            raise ShapeMismatchError(f"the inputs do not share their first dimension, the batch: {shapes}", hint=_BAKE)

    def require_agreement(self, inputs: Sequence[Tensor]) -> None:
        """Refuse probe data in which dimensions of the same name have different sizes.

        Raises:
            ShapeMismatchError: naming dimension, inputs and sizes.
        """
        known: dict[str, tuple[TensorSpec, int]] = {}
        for spec, tensor in zip(self._specs, inputs, strict=True):
            for name, size in list(zip(self._names.get(spec.name, ()), tensor.shape, strict=False))[1:]:
                if name is None:
                    continue
                other, before = known.setdefault(name, (spec, size))
                if size != before:
                    raise ShapeMismatchError(
                        f"dimension {name!r} is {before} in input {other.name!r} {self.shown(other)} and {size} in "
                        f"input {spec.name!r} {self.shown(spec)}",
                        hint="dimensions of one name have one size: cut or pad the probe's arrays to it",
                    )

    def shown(self, spec: TensorSpec) -> str:
        """The declared shape for a message, open sizes by their names, e.g. ``[batch, seq, 6]``."""
        shape = spec.shape or ()
        names = self._names.get(spec.name) or (None,) * len(shape)
        sizes = (name or ("?" if size is None else str(size)) for name, size in zip(names, shape, strict=True))
        return f"[{', '.join(sizes)}]"
