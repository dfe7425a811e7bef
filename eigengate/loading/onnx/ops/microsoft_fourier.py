"""Fourier transforms and complex products, complex numbers being pairs of reals along a last axis."""

import torch
from torch import Tensor

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.onnx.ops._microsoft import MICROSOFT
from eigengate.loading.onnx.registry import operator


@operator("Rfft", domain=MICROSOFT)
def real_fourier_transform(x: Tensor, *, normalized: int = 0, onesided: int = 1, signal_ndim: int = 1) -> Tensor:
    """Σ x[j] e^(-2πi jk/n) for k ≤ n/2 of n real numbers along the last axis, as [..., n/2 + 1, 2]."""
    _refuse_unusual(normalized, onesided, signal_ndim)
    return torch.view_as_real(torch.fft.rfft(x))


@operator("Irfft", domain=MICROSOFT)
def inverse_real_fourier_transform(x: Tensor, *, normalized: int = 0, onesided: int = 1, signal_ndim: int) -> Tensor:
    """The real numbers whose ``Rfft`` is x, [..., m, 2]: an even number of them, 2 (m - 1)."""
    _refuse_unusual(normalized, onesided, signal_ndim)
    result: Tensor = torch.fft.irfft(torch.complex(x[..., 0], x[..., 1]))
    return result


def _refuse_unusual(normalized: int, onesided: int, signal_ndim: int) -> None:
    if normalized or not onesided or signal_ndim != 1:
        raise UnsupportedOperatorError("only one-sided transforms of one axis that are not normalised are supported")


@operator("ComplexMul", domain=MICROSOFT)
def complex_product(a: Tensor, b: Tensor) -> Tensor:
    """The products of complex numbers, broadcast against each other."""
    return _product(a, b, 1.0)


@operator("ComplexMulConj", domain=MICROSOFT)
def complex_product_with_conjugate(a: Tensor, b: Tensor) -> Tensor:
    """The products of complex numbers a with the conjugates of b, broadcast against each other."""
    return _product(a, b, -1.0)


def _product(a: Tensor, b: Tensor, sign: float) -> Tensor:
    real_a, imaginary_a = a.unbind(-1)
    real_b, imaginary_b = b.unbind(-1)
    imaginary_b = sign * imaginary_b
    real = real_a * real_b - imaginary_a * imaginary_b
    return torch.stack([real, real_a * imaginary_b + imaginary_a * real_b], -1)
