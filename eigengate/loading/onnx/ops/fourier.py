"""Discrete Fourier transforms. A last axis holds complex numbers as pairs; of real ones its size is one."""

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import operator


@operator("DFT", since=17)
def discrete_fourier_transform_along_attribute(
    x: Tensor, length: int | None = None, *, axis: int = 1, inverse: int = 0, onesided: int = 0
) -> Tensor:
    """y[k] = Σⱼ x[j] · exp(−2πi·jk/n) along ``axis``, or with ``inverse`` (1/n) Σⱼ x[j] · exp(2πi·jk/n).

    X is cut, or filled up with zeros, to ``dft_length`` = n. ``onesided`` gives the first ⌊n/2⌋ + 1 frequencies alone;
    its inverse takes these and gives real numbers, n being 2 · (size − 1) by default.
    """
    return _transform(x, length, axis % x.ndim, inverse=bool(inverse), onesided=bool(onesided))


@operator("DFT", since=20)
def discrete_fourier_transform(
    x: Tensor, length: int | None = None, axis: int | None = None, *, inverse: int = 0, onesided: int = 0
) -> Tensor:
    """y[k] = Σⱼ x[j] · exp(−2πi·jk/n) along ``axis``, or with ``inverse`` (1/n) Σⱼ x[j] · exp(2πi·jk/n).

    X is cut, or filled up with zeros, to ``dft_length`` = n. ``onesided`` gives the first ⌊n/2⌋ + 1 frequencies alone;
    its inverse takes these and gives real numbers, n being 2 · (size − 1) by default. ``axis`` is an input since
    version 20, by default the last one of the signal.
    """
    along = -2 if axis is None else axis
    return _transform(x, length, along % x.ndim, inverse=bool(inverse), onesided=bool(onesided))


def _transform(x: Tensor, length: int | None, axis: int, *, inverse: bool, onesided: bool) -> Tensor:
    signal = _numbers(x)
    if inverse and onesided:
        numbers: Tensor = torch.fft.irfft(signal, length, axis)
        return numbers.unsqueeze(-1).to(x.dtype)
    if onesided and not signal.is_complex():
        return _pairs(torch.fft.rfft(signal, length, axis), x)
    spectrum = torch.fft.ifft(signal, length, axis) if inverse else torch.fft.fft(signal, length, axis)
    return _pairs(spectrum.narrow(axis, 0, spectrum.shape[axis] // 2 + 1) if onesided else spectrum, x)


def _numbers(x: Tensor) -> Tensor:
    """Real or complex numbers, in single or double precision: torch transforms no others on every device."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return torch.complex(wide[..., 0], wide[..., 1]) if x.shape[-1] == 2 else wide.squeeze(-1)


def _pairs(spectrum: Tensor, like: Tensor) -> Tensor:
    return torch.view_as_real(spectrum.resolve_conj()).to(like.dtype)


@operator("STFT", since=17)
def short_time_fourier_transform(
    x: Tensor, step: int, window: Tensor | None = None, length: int | None = None, *, onesided: int = 1
) -> Tensor:
    """y[m, k] = Σⱼ w[j] · x[j + m · step] · exp(−2πi·jk/n) over ``frame_length`` = n samples of X [batch, samples, 1].

    By default n is the size of ``window`` or, without one, of the signal. ``onesided`` keeps ⌊n/2⌋ + 1 frequencies of
    a real signal. The result has shape [batch, ⌊(samples − n) / step⌋ + 1, frequencies, 2].
    """
    frame = length or (window.shape[0] if window is not None else x.shape[1])
    frames = _frames(_numbers(x), frame, step)
    frames = frames if window is None else frames * window
    if onesided and not frames.is_complex():
        return _pairs(torch.fft.rfft(frames), x)
    spectrum = torch.fft.fft(frames)
    return _pairs(spectrum[..., : frame // 2 + 1] if onesided else spectrum, x)


def _frames(signal: Tensor, frame: int, step: int) -> Tensor:
    """Every ``step``-th piece of ``frame`` samples; the derivative of torch's own unfolding knows no ``vmap``."""
    starts = torch.arange(0, signal.shape[1] - frame + 1, step, device=signal.device)
    places = starts[:, None] + torch.arange(frame, device=signal.device)
    return torch.index_select(signal, 1, places.reshape(-1)).reshape(signal.shape[0], -1, frame)
