"""Conversions, copies and literals: what TorchScript writes for ``x.to``, ``x[...] = y`` and ``torch.tensor``."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from eigengate.loading.torchscript.scalars import DTYPES


def _to(
    self: Tensor, *, dtype: int | None = None, device: torch.device | None = None, other: Tensor | None = None, **_: Any
) -> Tensor:
    if other is not None:
        return self.to(other)
    return self.to(device=device or self.device, dtype=self.dtype if dtype is None else DTYPES[dtype])


def _stay(self: Tensor, **_: Any) -> Tensor:
    return self


def _literal(
    value: Any, *, dtype: int | torch.dtype | None = None, device: torch.device | None = None, **_: Any
) -> Tensor:
    kind = DTYPES[dtype] if isinstance(dtype, int) else dtype
    if isinstance(value, Tensor):
        return value.to(device=device or value.device, dtype=kind or value.dtype)
    return torch.tensor(value, dtype=kind, device=device)


def _copy(self: Tensor, *, src: Tensor, **_: Any) -> Tensor:
    return src.to(self).expand(self.shape)


def _fill(self: Tensor, *, value: Any) -> Tensor:
    # The value may be a tensor that carries derivatives.
    filled: Tensor = torch.zeros_like(self) + value
    return filled


REWRITES: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::to": _to,
    "aten::cpu": _stay,
    "aten::cuda": _stay,
    "aten::tensor": _literal,
    "aten::as_tensor": _literal,
    "aten::copy_": _copy,
    "aten::fill_": _fill,
    "aten::zero_": torch.zeros_like,
}
