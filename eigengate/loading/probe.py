"""Probe data: the samples a network is measured on."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eigengate.errors import ProbeFormatError, ProbeValueError
from eigengate.loading.arrays import HINT, read_arrays
from eigengate.loading.source import read_source

LABELS = "y"
_ACCEPTED_KINDS = "fiub"  # floats, signed and unsigned integers, booleans


@final
@dataclass(frozen=True)
class Probe:
    """Probe samples by input name, [n, ...] each, and optional targets ``y``; ``sha256`` is of the file's bytes."""

    arrays: Mapping[str, Tensor]
    y: Tensor | None
    sha256: str

    @property
    def n(self) -> int:
        return int(next(iter(self.arrays.values())).shape[0])


def load_probe(source: str | Path | bytes) -> Probe:
    """Read probe data from ``.npz``, ``.npy`` or ``.safetensors``, told apart by content; pickles are never opened.

    Args:
        source: Path or bytes. Arrays are the model's inputs, [n, ...] each: ``x`` or, for several inputs, their names.
            ``y``, if present, holds class indices [n] or regression targets [n, ...].

    Raises:
        ProbeFormatError: another format, a pickled array, a damaged file.
        ProbeValueError: no samples, NaN or infinity, arrays of different lengths.
    """
    data = read_source(source)
    arrays = read_arrays(data)
    labels = arrays.pop(LABELS, None)
    if not arrays:
        raise ProbeFormatError("the probe file holds no input array", hint=HINT)
    tensors = {name: _tensor(name, array) for name, array in arrays.items()}
    y = None if labels is None else _tensor(LABELS, labels)
    _check_lengths(tensors if y is None else {**tensors, LABELS: y})
    return Probe(tensors, y, hashlib.sha256(data).hexdigest())


def _tensor(name: str, array: NDArray[np.generic]) -> Tensor:
    if array.dtype.kind not in _ACCEPTED_KINDS or array.dtype.itemsize > 8:
        raise ProbeFormatError(f"array {name!r} has dtype {array.dtype}, which is no plain number", hint=HINT)
    if array.ndim == 0 or array.size == 0:
        raise ProbeValueError(f"array {name!r} has shape {array.shape}: there is nothing to measure")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        rows = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
        raise ProbeValueError(
            f"array {name!r} holds NaN or infinity in {len(rows)} of {len(array)} samples, e.g. {rows[:5].tolist()}",
            hint="drop these samples or repair the preprocessing",
        )
    native = array.astype(array.dtype.newbyteorder("="), copy=True)
    wide = {"uint16": np.int32, "uint32": np.int64, "uint64": np.int64}.get(native.dtype.name)
    return torch.from_numpy(native if wide is None else native.astype(wide))


def _check_lengths(tensors: Mapping[str, Tensor]) -> None:
    lengths = {name: int(tensor.shape[0]) for name, tensor in tensors.items()}
    if len(set(lengths.values())) > 1:
        raise ProbeValueError(f"arrays have different numbers of samples: {lengths}", hint="the first dimension is n")
