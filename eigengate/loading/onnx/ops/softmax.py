"""Distributions from scores, and their relatives."""

import math

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Smoothness, operator


@operator("Softmax")
def softmax_of_matrix(x: Tensor, *, axis: int = 1) -> Tensor:
    """eˣ / Σ eˣ of matrix rows: before version 13 everything from ``axis`` on is one distribution."""
    return _softmax(_as_matrix(x, axis), 1).reshape(x.shape)


@operator("Softmax", since=13)
def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """eˣ / Σ eˣ along one axis.

    In half precision every step of the standard's definition is rounded: its differences to the largest score, their
    exponentials and the sum of these.
    """
    return _softmax(x, axis)


def _softmax(x: Tensor, axis: int) -> Tensor:
    if x.dtype not in (torch.float16, torch.bfloat16):
        return torch.softmax(x, axis)
    exponentials = torch.exp(x - torch.amax(x, axis, keepdim=True))
    return exponentials / torch.sum(exponentials, axis, keepdim=True)


@operator("LogSoftmax")
def log_softmax_of_matrix(x: Tensor, *, axis: int = 1) -> Tensor:
    """x - ln Σ eˣ of matrix rows: before version 13 everything from ``axis`` on is one distribution."""
    return torch.log_softmax(_as_matrix(x, axis), 1).reshape(x.shape)


@operator("LogSoftmax", since=13)
def log_softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """x - ln Σ eˣ along one axis."""
    return torch.log_softmax(x, axis)


@operator("Hardmax", smoothness=Smoothness.FLAT)
def hardmax_of_matrix(x: Tensor, *, axis: int = 1) -> Tensor:
    """One at the first largest element, zero elsewhere; before version 13 everything from ``axis`` on is one row."""
    return _hardmax(_as_matrix(x, axis), 1).reshape(x.shape)


@operator("Hardmax", since=13, smoothness=Smoothness.FLAT)
def hardmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """One at the first largest element along the axis, zero elsewhere."""
    return _hardmax(x, axis)


def _hardmax(x: Tensor, axis: int) -> Tensor:
    first = torch.argmax(x, axis, keepdim=True)
    return torch.scatter(torch.zeros_like(x), axis, first, 1.0)


def _as_matrix(x: Tensor, axis: int) -> Tensor:
    split = axis if axis >= 0 else axis + x.ndim
    return x.reshape(math.prod(x.shape[:split]), math.prod(x.shape[split:]))
