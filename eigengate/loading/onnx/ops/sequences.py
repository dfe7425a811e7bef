"""Sequences of tensors: Python lists that no operator changes, so that a program stays pure."""

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Body, Smoothness, TensorList, operator


@operator("SequenceEmpty", since=11, smoothness=Smoothness.NONE)
def sequence_empty(*, dtype: torch.dtype = torch.float32) -> TensorList:
    """A sequence without elements; ``dtype`` is what may come into it later."""
    return []


@operator("SequenceConstruct", since=11)
def sequence_construct(*elements: Tensor) -> TensorList:
    """The sequence of its operands, in their order."""
    return list(elements)


@operator("SequenceInsert", since=11)
def sequence_insert(sequence: TensorList, element: Tensor, position: int | None = None) -> TensorList:
    """The sequence with a tensor put in before ``position``, which may count from the end; at the end by default."""
    place = len(sequence) if position is None else _place(position, len(sequence) + 1)
    return [*sequence[:place], element, *sequence[place:]]


@operator("SequenceErase", since=11)
def sequence_erase(sequence: TensorList, position: int | None = None) -> TensorList:
    """The sequence without the element at ``position``, which may count from the end; without the last by default."""
    place = _place(-1 if position is None else position, len(sequence))
    return [*sequence[:place], *sequence[place + 1 :]]


@operator("SequenceAt", since=11)
def sequence_at(sequence: TensorList, position: int) -> Tensor:
    """The element at ``position``, which may count from the end."""
    return sequence[_place(position, len(sequence))]


@operator("SequenceLength", since=11, smoothness=Smoothness.NONE)
def sequence_length(sequence: TensorList) -> Tensor:
    """How many elements the sequence has, as an int64 scalar."""
    return torch.tensor(len(sequence), dtype=torch.int64)


@operator("SplitToSequence", since=11)
def split_to_sequence(x: Tensor, split: Tensor | None = None, *, axis: int = 0, keepdims: int = 1) -> TensorList:
    """Cut a tensor along ``axis`` into a sequence.

    ``split`` is a length for every part (the last may be shorter) if it is a scalar, the list of lengths if it is a
    vector; without it the parts have length one, and ``keepdims=0`` then drops the axis.
    """
    if split is None:
        parts = torch.split(x, 1, axis)
        return list(parts) if keepdims else [part.squeeze(axis) for part in parts]
    return list(torch.split(x, int(split) if split.ndim == 0 else split.tolist(), axis))


@operator("ConcatFromSequence", since=11)
def concat_from_sequence(sequence: TensorList, *, axis: int, new_axis: int = 0) -> Tensor:
    """The elements joined along ``axis``, or stacked along a new one (``new_axis=1``)."""
    return torch.stack(sequence, axis) if new_axis else torch.cat(sequence, axis)


@operator("SequenceMap", since=17)
def sequence_map(
    sequence: TensorList, *others: Tensor | TensorList, body: Body, outputs: int
) -> tuple[TensorList, ...]:
    """Apply ``body`` to every element.

    Further sequences give it their element of the same place, tensors are handed to it whole; each of its outputs
    becomes a sequence.
    """
    results = [
        body(element, *(other[place] if isinstance(other, list) else other for other in others))
        for place, element in enumerate(sequence)
    ]
    return tuple([result[column] for result in results] for column in range(outputs))


def _place(position: int, size: int) -> int:
    if not -size <= position < size:
        raise IndexError(f"position {position} in a sequence with room for {size}")
    return position % size if size else 0
