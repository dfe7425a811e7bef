"""Sequences of their own length within one tensor: turning them round, and writing into a cache."""

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._unsigned import modular
from eigengate.loading.onnx.registry import operator


@operator("ReverseSequence", since=10)
def reverse_sequence(x: Tensor, sequence_lens: Tensor, *, batch_axis: int = 1, time_axis: int = 0) -> Tensor:
    """The first ``sequence_lens[i]`` elements of sample i in reverse order along the time axis, all others in place.

    Batch and time are the first two axes, either way round.
    """
    steps = torch.arange(x.shape[time_axis], device=x.device).unsqueeze(1)
    sources = torch.where(steps < sequence_lens, sequence_lens - 1 - steps, steps)  # [length, batch]
    ordered = sources if time_axis == 0 else sources.T
    places = ordered.reshape(*ordered.shape, *[1] * (x.ndim - 2)).expand(x.shape)
    return modular(torch.gather, x, time_axis, places)


@operator("TensorScatter", since=24)
def write_to_cache(
    past_cache: Tensor, update: Tensor, write_indices: Tensor | None = None, *, axis: int = -2, mode: str = "linear"
) -> Tensor:
    """The cache with ``update`` in the place of as many elements along the axis, for sample i from write_indices[i] on.

    Writing begins at 0 unless the indices [batch] are given; in the mode "circular" it goes on at 0 after the end.
    """
    along = axis % update.ndim
    positions = torch.arange(update.shape[along], device=update.device)
    if write_indices is not None:
        positions = write_indices.unsqueeze(1) + positions
    if mode == "circular":
        positions = positions % past_cache.shape[along]
    shape = [1] * update.ndim
    shape[along], shape[0] = update.shape[along], -1
    return modular(torch.scatter, past_cache, along, positions.reshape(shape).expand(update.shape), update)
