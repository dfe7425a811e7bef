"""Reductions over axes, which older versions take as an attribute and newer ones as an input."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._unsigned import in_order, is_bare, modular, ordered
from eigengate.loading.onnx.registry import Ints, Operator, Smoothness, operator

Reduction = Callable[[Tensor, Ints, bool], Tensor]


def _reduction(name: str, reduce: Reduction, axes_input_since: int = 18) -> tuple[Operator, Operator]:
    """Both forms of the operator. The reduction's docstring says what is computed; empty axes reduce nothing in it."""

    def by_attribute(x: Tensor, *, axes: Ints | None = None, keepdims: int = 1) -> Tensor:
        return reduce(x, axes or tuple(range(x.ndim)), bool(keepdims))

    def by_input(x: Tensor, axes: Ints | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Tensor:
        everything = () if noop_with_empty_axes else tuple(range(x.ndim))
        return reduce(x, axes or everything, bool(keepdims))

    by_attribute.__doc__ = f"""{reduce.__doc__}

    Over the axes that an attribute names, all of them if it is absent or empty; they stay as ones with ``keepdims``.
    """
    by_input.__doc__ = f"""{reduce.__doc__}

    Over the axes that an input names; if it is absent or empty, over all of them, or with ``noop_with_empty_axes``
    over none, so that only what is done to each number is done. Reduced axes stay as ones with ``keepdims``.
    """
    return operator(name, since=1)(by_attribute), operator(name, since=axes_input_since)(by_input)


def _sum(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    """The sum Σ x of the elements along axes; of none it is 0."""
    if not axes:
        return x
    return modular(lambda terms: torch.sum(terms, axes, keep, dtype=terms.dtype), x)


def _mean(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    """The arithmetic mean of the elements along axes; of integers it is cut off to an integer."""
    if not axes:
        return x
    return torch.mean(x if x.is_floating_point() else x.double(), axes, keep).to(x.dtype)


def _product(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    """The product Π x of the elements along axes; of none it is 1."""

    def product(factors: Tensor) -> Tensor:
        for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
            factors = torch.prod(factors, axis, keep, dtype=factors.dtype)
        return factors

    return modular(product, x)


def _l1(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    """The L1 norm Σ |x| of the elements along axes."""
    return _sum(x if is_bare(x) else torch.abs(x), axes, keep)


def _l2(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    """The L2 norm √(Σ x²) of the elements along axes, whose derivative at 0 is taken to be 0."""
    if not axes:
        return x if is_bare(x) else torch.abs(x)
    wide = x if x.is_floating_point() else x.double()
    norm: Tensor = torch.linalg.vector_norm(wide, 2, axes, keep)
    return norm.to(x.dtype)


def _sum_of_squares(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    """The sum of squares Σ x² of the elements along axes."""
    return _sum(modular(torch.square, x), axes, keep)


def _log_of_sum(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    """The logarithm of the sum ln Σ x of the elements along axes; before opset 28 integers were allowed too."""
    wide = x if x.is_floating_point() else x.double()
    return torch.log(_sum(wide, axes, keep)).to(x.dtype)


def _log_of_sum_of_exponentials(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    """The logarithm ln Σ e^x of the sum of exponentials along axes, which is −∞ where every x is −∞.

    Before opset 28 integers were allowed too.
    """
    if not axes:
        return x
    wide = x.to(torch.promote_types(x.dtype, torch.float32)) if x.is_floating_point() else x.double()
    # torch's own has the derivative NaN where every x is −∞. As a constant its value still keeps the sum close to 1.
    level = torch.logsumexp(wide.detach(), axes, True)
    level = torch.where(torch.isfinite(level), level, torch.zeros_like(level))
    total = torch.sum(torch.exp(wide - level), axes, True)
    nothing = total == 0
    y = torch.where(nothing, -math.inf, level + torch.log(torch.where(nothing, 1.0, total)))
    return (y if keep else torch.squeeze(y, axes)).to(x.dtype)


def _largest(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    """The maximum of the elements along axes; of none it is −∞ or the lowest number of the type.

    Equal maxima share the derivative. Booleans (since opset 20) are ordered False < True.
    """
    return ordered(_extremum, x, axes, keep, torch.amax, _lowest) if axes else x


def _smallest(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    """The minimum of the elements along axes; of none it is +∞ or the highest number of the type.

    Equal minima share the derivative. Booleans (since opset 20) are ordered False < True.
    """
    return ordered(_extremum, x, axes, keep, torch.amin, _highest) if axes else x


def _extremum(
    x: Tensor, axes: Ints, keep: bool, pick: Callable[..., Tensor], of_nothing: Callable[[torch.dtype], float]
) -> Tensor:
    if x.numel():
        return pick(x, axes, keep)
    return torch.full_like(torch.sum(x, axes, keep), of_nothing(x.dtype), dtype=x.dtype)


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
reduce_l1 = _reduction("ReduceL1", _l1)
reduce_l2 = _reduction("ReduceL2", _l2)
reduce_sum_square = _reduction("ReduceSumSquare", _sum_of_squares)
reduce_log_sum = _reduction("ReduceLogSum", _log_of_sum)
reduce_log_sum_exp = _reduction("ReduceLogSumExp", _log_of_sum_of_exponentials)


@operator("ArgMax", smoothness=Smoothness.NONE)
def index_of_largest(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """The index of the maximum along ``axis``: the first of equal ones, or the last with ``select_last_index``."""
    return _index(torch.argmax, in_order(x), axis, bool(keepdims), bool(select_last_index))


@operator("ArgMin", smoothness=Smoothness.NONE)
def index_of_smallest(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """The index of the minimum along ``axis``: the first of equal ones, or the last with ``select_last_index``."""
    return _index(torch.argmin, in_order(x), axis, bool(keepdims), bool(select_last_index))


def _index(find: Callable[..., Tensor], x: Tensor, axis: int, keep: bool, last: bool) -> Tensor:
    return x.shape[axis] - 1 - find(x.flip(axis), axis, keep) if last else find(x, axis, keep)
