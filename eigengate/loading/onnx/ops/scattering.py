"""Placing elements at positions that indices name."""

import math

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._unsigned import modular, ordered
from eigengate.loading.onnx.ops.indexing import wrap
from eigengate.loading.onnx.registry import Ints, operator


@operator("Scatter", since=9)
def scatter(x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0) -> Tensor:
    """x with the updates put at the positions that the indices name along ``axis``; replaced by ``ScatterElements``."""
    return _combined(x, axis, wrap(indices, x.shape[axis]), updates, "none")


@operator("ScatterElements", since=11)
def scatter_elements(x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none") -> Tensor:
    """x with updates[i, j, …] put at [i, …, indices[i, j, …], …]: the index replaces the coordinate along ``axis``.

    ``reduction`` (``add`` and ``mul`` since opset 16, ``max`` and ``min`` since 18) combines what meets at a position,
    the element of x included; without it positions must not repeat. Indices below 0 count from the end.
    """
    return _combined(x, axis, wrap(indices, x.shape[axis]), updates, reduction)


@operator("ScatterND", since=11)
def scatter_slices(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    """x with a slice of the updates put at x[i₁, …, i_k] for every vector (i₁, …, i_k) along the indices' last axis.

    ``reduction`` (``add`` and ``mul`` since opset 16, ``max`` and ``min`` since 18) combines what meets at a position,
    the slice of x included; without it positions must not repeat. Indices below 0 count from the end.
    """
    depth = indices.shape[-1]
    head, tail = x.shape[:depth], x.shape[depth:]
    rows = _row_numbers(indices, head)
    positions = rows.reshape(-1, *[1] * len(tail)).expand(-1, *tail)
    slices = x.reshape(math.prod(head), *tail)
    return _combined(slices, 0, positions, updates.reshape(positions.shape), reduction).reshape(x.shape)


def _row_numbers(indices: Tensor, sizes: Ints) -> Tensor:
    """The vectors as numbers of slices in row-major order."""
    numbers = torch.zeros_like(indices[..., 0])
    for axis, size in enumerate(sizes):
        numbers = numbers * size + wrap(indices[..., axis], size)
    return numbers.reshape(-1)


def _combined(x: Tensor, axis: int, positions: Tensor, updates: Tensor, reduction: str) -> Tensor:
    match reduction:
        case "none":
            return modular(torch.scatter, x, axis, positions, updates)
        case "add":
            return modular(torch.scatter_add, x, axis, positions, updates)
        case "mul":
            return modular(_multiplied, x, axis, positions, updates)
        case "max" | "min":
            return ordered(_extremal, x, axis, positions, updates, f"a{reduction}")
    raise ValueError(f"there is no reduction '{reduction}'")


def _multiplied(x: Tensor, axis: int, positions: Tensor, updates: Tensor) -> Tensor:
    # Products have no scatter in torch that can be differentiated twice. Within one slice along the axis no position
    # repeats, so slice by slice a plain scatter will do.
    for here, factor in zip(torch.split(positions, 1, axis), torch.split(updates, 1, axis), strict=True):
        x = torch.scatter(x, axis, here, torch.gather(x, axis, here) * factor)
    return x


def _extremal(x: Tensor, axis: int, positions: Tensor, updates: Tensor, reduce: str) -> Tensor:
    # The winners are found without derivatives, then everything that equals its position's winner is averaged: the
    # winner again, with the derivative shared among equals, to any order.
    winners = torch.scatter_reduce(x.detach(), axis, positions, updates.detach(), reduce)
    if not x.is_floating_point():
        return winners
    stays, wins = x == winners, updates == torch.gather(winners, axis, positions)
    zero = torch.zeros((), dtype=x.dtype, device=x.device)
    total = torch.scatter_add(torch.where(stays, x, zero), axis, positions, torch.where(wins, updates, zero))
    count = torch.scatter_add(stays.to(x.dtype), axis, positions, wins.to(x.dtype))
    return total / count
