"""Unsigned integers of 16, 32 and 64 bits, which torch stores but has hardly any kernels for.

They are computed in int64. What is right modulo a power of two (sums, products, bit patterns) may ignore the sign;
what depends on order needs a stand-in that keeps it, which for 64 bits is the number less 2⁶³.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

_BARE = frozenset({torch.uint16, torch.uint32, torch.uint64})
_LOWEST, _HIGHEST = torch.iinfo(torch.int64).min, torch.iinfo(torch.int64).max


def is_bare(x: Tensor) -> bool:
    """Whether it is of one of the types that need a stand-in."""
    return x.dtype in _BARE


def modular(function: Callable[..., Tensor], x: Tensor, *others: Any) -> Tensor:
    """``function(x, *others)`` where arithmetic modulo 2⁶⁴ will do; the result has the type of x."""
    if x.dtype not in _BARE:
        return function(x, *others)
    return function(*map(_widened, (x, *others))).to(x.dtype)


def ordered(function: Callable[..., Tensor], x: Tensor, *others: Any) -> Tensor:
    """``function(x, *others)`` where it picks among values by their order; the result has the type of x."""
    if x.dtype not in _BARE:
        return function(x, *others)
    y = function(*map(_in_order, (x, *others)))
    return (y ^ _LOWEST if x.dtype == torch.uint64 else y).to(x.dtype)


def in_order(x: Tensor) -> Tensor:
    """The tensor itself, or signed numbers that compare as it does."""
    if x.dtype not in _BARE:
        return x
    return x.to(torch.int64) ^ _LOWEST if x.dtype == torch.uint64 else x.to(torch.int64)


def quotient(a: Tensor, b: Tensor) -> Tensor:
    """The quotient of integers, rounded towards zero."""
    if a.dtype == torch.uint64:
        return modular(_unsigned_quotient, a, b)
    return modular(partial(torch.div, rounding_mode="trunc"), a, b)


def _widened(x: Any) -> Any:
    return x.to(torch.int64) if isinstance(x, Tensor) and x.dtype in _BARE else x


def _in_order(x: Any) -> Any:
    return in_order(x) if isinstance(x, Tensor) else x


def _unsigned_quotient(n: Tensor, d: Tensor) -> Tensor:
    """Of 64 bit patterns held in int64, by one signed division (Hacker's Delight, 9-3)."""
    # Half of n has no sign bit. Twice its quotient is the quotient of n or one less.
    halved = torch.div((n >> 1) & _HIGHEST, torch.where(d > 0, d, 1), rounding_mode="trunc") << 1
    rest = n - halved * d
    whole = halved + ((rest ^ _LOWEST) >= (d ^ _LOWEST)).to(torch.int64)
    # A divisor with its top bit set goes into n once or not at all.
    return torch.where(d < 0, ((n ^ _LOWEST) >= (d ^ _LOWEST)).to(torch.int64), whole)
