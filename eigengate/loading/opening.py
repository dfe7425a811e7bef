"""Opening a network none of whose inputs has derivatives at its first embedding, whose output has."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from eigengate.errors import ModelError, NotDifferentiableError, ProbeValueError
from eigengate.loading.batching import only_size, samples_of
from eigengate.loading.functional_model import FunctionalModel, Opening
from eigengate.loading.program import Embedding, TensorSpec

_TRIED: Final = 8
# The opened network computes the same numbers in the same order; fused kernels may be chosen otherwise.
_TOLERANCE: Final = 1e-5


def opened(model: FunctionalModel, inputs: tuple[Tensor, ...]) -> tuple[FunctionalModel, tuple[Tensor, ...]]:
    """The model that takes the output E of its first embedding as one more input, and the inputs with E behind them.

    Args:
        model: The model as loaded.
        inputs: All that it takes, [n, ...], none of them floating point.

    Raises:
        NotDifferentiableError: no input is looked up in a trained table, or not sample by sample.
        ProbeValueError: an index is outside the table.
    """
    embedding = model.program.embedding
    if embedding is None:
        raise _refusal(model.inputs)
    shape, indices = _indices(model, embedding, inputs)
    table = model.program.parameters[embedding.weight]
    _require_rows(indices, table.shape[0], embedding)
    given = table[indices]
    opening = Opening(embedding.weight, embedding.input, (*shape, *table.shape[1:]))
    network = replace(model, program=embedding.opened, opening=opening)
    _require_same_function(network, model, (*inputs, given))
    return network, (*inputs, given)


def _refusal(specs: Sequence[TensorSpec]) -> NotDifferentiableError:
    shown = ", ".join(f"{spec.name}: {str(spec.dtype).removeprefix('torch.')}" for spec in specs)
    return NotDifferentiableError(
        f"no input is floating point ({shown}), and none is looked up in a trained embedding",
        hint="whole numbers have no derivative: export the network from the first layer on that computes with floating "
        "point numbers, or with nn.Embedding in place of a one-hot encoding times a matrix",
    )


def _indices(
    model: FunctionalModel, embedding: Embedding, inputs: tuple[Tensor, ...]
) -> tuple[tuple[int, ...], Tensor]:
    """Which rows each sample looks up [n, ...], every sample alone; and the shape of one sample's."""
    taken = next(tensor for spec, tensor in zip(model.inputs, inputs, strict=True) if spec.name == embedding.input)

    def looked_up(batch: tuple[Tensor, ...]) -> Tensor:
        (found,) = embedding.indices(model.program.parameters, *batch)
        return found

    size = model.fixed_batch or only_size(looked_up, inputs) or 1
    samples = [looked_up(tuple(x.expand(size, *x.shape) for x in sample)) for sample in samples_of(inputs)]
    shape, count = samples[0].shape, samples[0].numel() // size
    if shape and shape[0] == size:
        one = shape[1:]
    else:
        one = taken.shape[1:] if taken.shape[1:].numel() == count else torch.Size([count])
    rows = torch.stack([sample.flatten()[:count].reshape(one) for sample in samples])
    if rows.is_floating_point() or rows.dtype is torch.bool:
        raise _refusal(model.inputs)
    return tuple(one), rows.long()


def _require_rows(indices: Tensor, size: int, embedding: Embedding) -> None:
    outside = torch.nonzero((indices < -size) | (indices >= size))
    if len(outside):
        sample, *place = outside[0].tolist()
        raise ProbeValueError(
            f"input {embedding.input!r} asks for row {int(indices[tuple(outside[0])])} at {place} of sample {sample}, "
            f"outside the {size} rows (0 to {size - 1}) of embedding {embedding.weight!r}; "
            f"{len(outside)} of {indices.numel()} are",
            hint="use the tokenizer that the network was trained with",
        )


def _require_same_function(network: FunctionalModel, model: FunctionalModel, inputs: tuple[Tensor, ...]) -> None:
    """Refuse a network that looks up another layout than one block of rows per sample: E would be out of order."""
    few = tuple(tensor[:_TRIED] for tensor in inputs)
    with torch.no_grad():
        wanted = model.apply(model.params, *network.file_inputs(few))
        try:
            found = network.apply(network.params, *few)
        except ModelError as error:
            raise _out_of_order(network) from error
    scale = float(wanted.abs().amax()) if wanted.numel() else 0.0
    if not torch.allclose(found, wanted, rtol=_TOLERANCE, atol=_TOLERANCE * scale, equal_nan=True):
        raise _out_of_order(network)


def _out_of_order(network: FunctionalModel) -> NotDifferentiableError:
    assert network.opening is not None
    return NotDifferentiableError(
        f"the first embedding, {network.opening.weight!r} of input {network.opening.input!r}, is not looked up sample "
        "by sample: its output has no first dimension of samples",
        hint="transpose behind the embedding, not in front of it, or export the network from its embedding on",
    )
