"""Tensors of older archives, which keep them in the pickle of ``torch.save``: read as data, nothing is called.

A pickle names functions and calls them. Here every name stands for one of a handful of our own functions, made anew
for each file, that do nothing but note what a tensor looks like; any other name ends the reading.
"""

import io
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, final

import torch

from eigengate.errors import EigengateError, ModelLoadError
from eigengate.loading.container import Content, Member, is_zip, zip_members
from eigengate.loading.exported.stored import StoredTensor

_STORAGES: Final[Mapping[str, torch.dtype]] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
_HINT: Final = "Save the program again with torch.export.save of PyTorch 2.9 or later, which stores plain numbers."


def pickled_tensors(data: Content, what: str) -> dict[str, StoredTensor]:
    """The tensors of a dictionary that ``torch.save`` wrote, by name.

    Raises:
        ModelLoadError: There is more in it than tensors, or it is damaged.
    """
    raw = bytes(data)
    if not is_zip(raw):
        raise ModelLoadError(f"{what} is not what torch.save writes", hint=_HINT)
    members = {member.name.partition("/")[2]: member for member in zip_members(raw)}
    if "data.pkl" not in members:
        raise ModelLoadError(f"{what} is not what torch.save writes: it has no data.pkl", hint=_HINT)
    if "byteorder" in members and bytes(members["byteorder"].content) != b"little":
        raise ModelLoadError(f"{what} was written on a big-endian machine", hint=_HINT)
    try:
        held = _TensorReader(bytes(members["data.pkl"].content), members, what).load()
    except EigengateError:
        raise
    except Exception as error:
        raise ModelLoadError(f"{what} cannot be read: {type(error).__name__}: {error}"[:300], hint=_HINT) from error
    return _named(held, what)


def _named(held: Any, what: str) -> dict[str, StoredTensor]:
    if not isinstance(held, dict):
        raise ModelLoadError(f"{what} holds no dictionary of tensors", hint=_HINT)
    tensors: dict[str, StoredTensor] = {}
    for name, tensor in dict.items(held):
        if not isinstance(name, str) or not isinstance(tensor, StoredTensor):
            raise ModelLoadError(f"{what} holds something that is no tensor: {ascii(name)[:60]}", hint=_HINT)
        tensors[name] = replace(tensor, name=name)
    return tensors


@final
@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: torch.dtype
    data: Content


@final
class _TensorReader(pickle.Unpickler):
    def __init__(self, pickled: bytes, members: Mapping[str, Member], what: str) -> None:
        super().__init__(io.BytesIO(pickled))
        self._members = members
        self._what = what
        self._storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Our own stand-in for a name; a new one each time, since a pickle may write to what it is given."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *arguments: self._tensor(*arguments)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: replace(tensor, is_parameter=True)
        if (module, name) == ("collections", "OrderedDict"):
            return type("_Ordered", (dict,), {})
        if module == "torch" and name in _STORAGES:
            return lambda: _STORAGES[name]
        raise ModelLoadError(
            f"{self._what} names {ascii(f'{module}.{name}')[:100]}, which no dictionary of tensors needs", hint=_HINT
        )

    def persistent_load(self, pid: Any) -> _Storage:
        """The storage behind a reference ('storage', type, key, device, number of elements)."""
        _, kind, key, *_ = pid
        if f"data/{key}" not in self._members:
            raise ModelLoadError(f"{self._what} has no storage {ascii(key)[:40]}", hint=_HINT)
        storage = self._storages.get(key)
        if storage is None:
            storage = self._storages[key] = _Storage(key, kind(), self._members[f"data/{key}"].content)
        return storage

    def _tensor(self, storage: _Storage, offset: int, sizes: Any, strides: Any, *_: Any) -> StoredTensor:
        places = (*sizes, *strides, offset)
        if not all(type(place) is int for place in places):
            raise ModelLoadError(f"{self._what} holds a tensor whose sizes are no numbers", hint=_HINT)
        return StoredTensor(
            name="",
            storage=storage.key,
            data=storage.data,
            dtype=storage.dtype,
            sizes=tuple(sizes),
            strides=tuple(strides),
            offset=offset,
            is_parameter=False,
        )
