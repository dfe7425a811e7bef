"""The switches of torch that decide whether the same audit gives the same digits again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

_Answer = TypeVar("_Answer")
_B: Any = torch.backends  # the type stubs do not know the precision of every operator


@contextmanager
def reproducible() -> Iterator[None]:
    """Full float32 products, deterministic kernels on GPUs, no choice of kernels by timing; then all as it was.

    TF32, and on a CPU bfloat16, round the factors of a product to 10 and 8 bits where a caller allowed it.
    """
    saved = _Switches()
    _B.cudnn.benchmark = False
    torch.use_deterministic_algorithms(torch.cuda.is_available(), warn_only=True)
    # By both of torch's names for it: it refuses to read one while the other says something else.
    torch.set_float32_matmul_precision("highest")
    _B.cudnn.allow_tf32 = False
    for place in _precisions():
        place.fp32_precision = "ieee"
    try:
        yield
    finally:
        saved.put_back()


def is_deterministic() -> bool:
    """Whether torch is asked for kernels that give the same digits every time; on a CPU they always do."""
    return torch.are_deterministic_algorithms_enabled() or not torch.cuda.is_available()


def is_tf32() -> bool:
    """Whether products of float32 numbers may be made of shorter ones."""
    return any(place.fp32_precision != "ieee" for place in _precisions())


def _precisions() -> tuple[Any, ...]:
    cpu, gpu = _B.mkldnn, _B.cudnn
    return _B.cuda.matmul, gpu, gpu.conv, gpu.rnn, cpu, cpu.matmul, cpu.conv, cpu.rnn


class _Switches:
    """What the caller had chosen."""

    def __init__(self) -> None:
        self._benchmark = _B.cudnn.benchmark
        self._deterministic = torch.are_deterministic_algorithms_enabled()
        self._warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        self._matmul = _answered(torch.get_float32_matmul_precision)
        self._allow_tf32 = _answered(lambda: bool(_B.cudnn.allow_tf32))
        self._precisions = [place.fp32_precision for place in _precisions()]

    def put_back(self) -> None:
        _B.cudnn.benchmark = self._benchmark
        torch.use_deterministic_algorithms(self._deterministic, warn_only=self._warn_only)
        if self._matmul is not None:
            torch.set_float32_matmul_precision(self._matmul)
        if self._allow_tf32 is not None:
            _B.cudnn.allow_tf32 = self._allow_tf32
        for place, precision in zip(_precisions(), self._precisions, strict=True):
            place.fp32_precision = precision


def _answered(question: Callable[[], _Answer]) -> _Answer | None:
    """None where the caller chose by the newer names, so that torch does not answer to the older ones."""
    try:
        return question()
    except RuntimeError:
        return None
