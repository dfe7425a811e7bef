"""Sequences of unequal length: PyTorch's nested tensors and packed sequences as padded ones, and their alignment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from torch import Tensor
from torch.nn import functional

from eigengate.loading.torchscript.rewrites.attention import encoder_layer

_NONE, _MEAN, _SUM = 0, 1, 2


@final
@dataclass(frozen=True)
class Ragged:
    """Sequences [n, t, d] of which only the places [n, t] that are kept exist."""

    padded: Tensor
    kept: Tensor


def _ragged(t: Tensor, *, mask: Tensor, **_: Any) -> Ragged:
    """What PyTorch's inference path makes of a padding mask that is True where there is something."""
    return Ragged(t, mask.bool())


def _padded(self: Ragged, *, padding: float, **_: Any) -> Tensor:
    return torch.where(self.kept.unsqueeze(-1), self.padded, padding)


def _encoder_layer(src: Tensor | Ragged, **arguments: Any) -> Tensor | Ragged:
    if isinstance(src, Tensor):
        return encoder_layer(src, **arguments)
    # Mask type 1: one flag per place of each sequence, True where nobody may attend.
    arguments |= {"mask": ~src.kept, "mask_type": 1}
    return Ragged(encoder_layer(src.padded, **arguments), src.kept)


def _pack(input: Tensor, *, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
    """What exists of sequences, longest first, in one row: all that is there at time 0, at time 1, …; and how much."""
    data = input.transpose(0, 1) if batch_first else input
    alive = lengths.reshape(1, -1) > torch.arange(int(lengths.max())).unsqueeze(1)
    sizes = alive.sum(1)
    return torch.cat([step[:size] for step, size in zip(data, sizes.tolist(), strict=False)]), sizes


def _unpack(
    data: Tensor, *, batch_sizes: Tensor, batch_first: bool, padding_value: float, total_length: int
) -> tuple[Tensor, Tensor]:
    sizes = batch_sizes.tolist()
    rest = (0, 0) * (data.dim() - 1)
    steps = [
        functional.pad(step, (*rest, 0, sizes[0] - step.shape[0]), value=padding_value)
        for step in torch.split(data, sizes)
    ]
    padded = torch.stack(steps)
    if total_length > len(sizes):
        padded = functional.pad(padded, (*rest, 0, 0, 0, total_length - len(sizes)), value=padding_value)
    lengths = (torch.arange(sizes[0]) < batch_sizes.unsqueeze(1)).sum(0)
    return (padded.transpose(0, 1) if batch_first else padded), lengths


def _align(log_probs: Tensor, *, target_lengths: Sequence[int], reduction: int = _MEAN, **arguments: Any) -> Tensor:
    """Connectionist temporal classification, whose kernel cannot average under ``torch.func``."""
    losses: Tensor = torch.ops.aten.ctc_loss.IntList(
        log_probs, target_lengths=target_lengths, reduction=_NONE, **arguments
    )
    if reduction == _MEAN:
        lengths = torch.tensor(target_lengths, dtype=losses.dtype, device=losses.device).clamp(min=1)
        return (losses / lengths.reshape(losses.shape)).mean()
    return losses.sum() if reduction == _SUM else losses


REWRITES: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::_nested_tensor_from_mask": _ragged,
    "aten::to_padded_tensor": _padded,
    "aten::_transformer_encoder_layer_fwd": _encoder_layer,
    "aten::_pack_padded_sequence": _pack,
    "aten::_pad_packed_sequence": _unpack,
    "aten::ctc_loss.IntList": _align,
}
