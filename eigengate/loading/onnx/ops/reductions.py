"""Reductions over axes, which older versions take as an attribute and newer ones as an input."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Ints, Operator, operator

Reduction = Callable[[Tensor, Ints, bool], Tensor]


def _reduction(name: str, reduce: Reduction, axes_input_since: int = 18) -> tuple[Operator, Operator]:
    @operator(name, since=1)
    def by_attribute(x: Tensor, *, axes: Ints | None = None, keepdims: int = 1) -> Tensor:
        return reduce(x, axes or tuple(range(x.ndim)), bool(keepdims))

    @operator(name, since=axes_input_since)
    def by_input(x: Tensor, axes: Ints | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Tensor:
        if not axes and noop_with_empty_axes:
            return x
        return reduce(x, axes or tuple(range(x.ndim)), bool(keepdims))

    return by_attribute, by_input


def _sum(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    return torch.sum(x, axes, keep, dtype=x.dtype)


def _mean(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    if x.is_floating_point():
        return torch.mean(x, axes, keep)
    return torch.mean(x.double(), axes, keep).to(x.dtype)


def _product(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    kept = [axis % x.ndim for axis in axes]
    for axis in sorted(kept, reverse=True):
        x = torch.prod(x, axis, keep, dtype=x.dtype)
    return x


def _l2(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    if x.is_floating_point():
        return torch.linalg.vector_norm(x, 2, axes, keep) if axes else torch.abs(x)
    return torch.sqrt(_sum(x * x, axes, keep).double()).to(x.dtype)


def _log_sum_exp(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    return torch.logsumexp(x, axes, keep) if axes else x


def _largest(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    return torch.amax(x, axes, keep) if x.numel() else _of_nothing(x, axes, keep, _lowest(x.dtype))


def _smallest(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    return torch.amin(x, axes, keep) if x.numel() else _of_nothing(x, axes, keep, _highest(x.dtype))


def _of_nothing(x: Tensor, axes: Ints, keep: bool, identity: float) -> Tensor:
    return torch.any(x, axes, keep).to(x.dtype).fill_(identity)


def _highest(dtype: torch.dtype) -> float:
    if dtype.is_floating_point:
        return math.inf
    return True if dtype == torch.bool else torch.iinfo(dtype).max


def _lowest(dtype: torch.dtype) -> float:
    if dtype.is_floating_point:
        return -math.inf
    return False if dtype == torch.bool else torch.iinfo(dtype).min


reduce_sum = _reduction("ReduceSum", _sum, axes_input_since=13)
reduce_mean = _reduction("ReduceMean", _mean)
reduce_product = _reduction("ReduceProd", _product)
reduce_max = _reduction("ReduceMax", _largest)
reduce_min = _reduction("ReduceMin", _smallest)
reduce_l1 = _reduction("ReduceL1", lambda x, axes, keep: _sum(torch.abs(x), axes, keep))
reduce_l2 = _reduction("ReduceL2", _l2)
reduce_sum_square = _reduction("ReduceSumSquare", lambda x, axes, keep: _sum(x * x, axes, keep))
reduce_log_sum = _reduction("ReduceLogSum", lambda x, axes, keep: torch.log(_sum(x, axes, keep)))
reduce_log_sum_exp = _reduction("ReduceLogSumExp", _log_sum_exp)


@operator("ArgMax")
def index_of_largest(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    if not select_last_index:
        return torch.argmax(x, axis, bool(keepdims))
    return x.shape[axis] - 1 - torch.argmax(x.flip(axis), axis, bool(keepdims))


@operator("ArgMin")
def index_of_smallest(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    if not select_last_index:
        return torch.argmin(x, axis, bool(keepdims))
    return x.shape[axis] - 1 - torch.argmin(x.flip(axis), axis, bool(keepdims))
