"""What weighs samples and frequencies of a signal before and after its Fourier transform."""

import math

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Smoothness, operator


@operator("HannWindow", since=17, smoothness=Smoothness.NONE)
def hann_window(size: int, *, output_datatype: torch.dtype = torch.float32, periodic: int = 1) -> Tensor:
    """w_n = ½ − ½ cos(2πn / N) for 0 ≤ n < size, where N = size, or size − 1 if ``periodic`` is 0."""
    return _cosine_sum(size, bool(periodic), (0.5, -0.5)).to(output_datatype)


@operator("HammingWindow", since=17, smoothness=Smoothness.NONE)
def hamming_window(size: int, *, output_datatype: torch.dtype = torch.float32, periodic: int = 1) -> Tensor:
    """w_n = 25/46 − 21/46 cos(2πn / N) for 0 ≤ n < size, where N = size, or size − 1 if ``periodic`` is 0."""
    return _cosine_sum(size, bool(periodic), (25 / 46, -21 / 46)).to(output_datatype)


@operator("BlackmanWindow", since=17, smoothness=Smoothness.NONE)
def blackman_window(size: int, *, output_datatype: torch.dtype = torch.float32, periodic: int = 1) -> Tensor:
    """w_n = 0.42 − 0.5 cos(2πn / N) + 0.08 cos(4πn / N) for 0 ≤ n < size.

    N = size, or size − 1 if ``periodic`` is 0.
    """
    return _cosine_sum(size, bool(periodic), (0.42, -0.5, 0.08)).to(output_datatype)


def _cosine_sum(size: int, periodic: bool, coefficients: tuple[float, ...]) -> Tensor:
    samples = torch.arange(size, dtype=torch.float64)
    angles = samples * (2 * math.pi) / torch.tensor(size if periodic else size - 1, dtype=torch.float64)
    terms = (weight * torch.cos(order * angles) for order, weight in enumerate(coefficients))
    return sum(terms, torch.zeros_like(samples))


@operator("MelWeightMatrix", since=17, smoothness=Smoothness.FLAT)
def mel_weight_matrix(
    bands: int,
    dft_length: int,
    sample_rate: int,
    lower_hertz: Tensor,
    upper_hertz: Tensor,
    *,
    output_datatype: torch.dtype = torch.float32,
) -> Tensor:
    """Triangles of height 1 on the frequencies of a DFT, evenly spaced in mel(f) = 2595 · log₁₀(1 + f / 700).

    One column per band, one row for each of the ⌊dft_length / 2⌋ + 1 frequencies. The corners are rounded down to
    whole frequencies, so that the matrix is piecewise constant in the edges of the spectrum.
    """
    corners = _corners(bands, _mel(lower_hertz), _mel(upper_hertz))
    whole = torch.floor((dft_length + 1) * corners / sample_rate)
    left, centre, right = whole[:-2], whole[1:-1], whole[2:]
    here = torch.arange(dft_length // 2 + 1, dtype=torch.float64, device=corners.device).unsqueeze(1)
    rising = (here - left) / torch.clamp(centre - left, min=1)
    falling = (right - here) / torch.clamp(right - centre, min=1)
    slopes = torch.where((here >= left) & (here < centre), rising, 0.0)
    slopes = torch.where((here > centre) & (here < right), falling, slopes)
    return torch.where(here == centre, 1.0, slopes).to(output_datatype)


def _mel(hertz: Tensor) -> Tensor:
    return 2595 / math.log(10) * torch.log1p(hertz.reshape(()).to(torch.float64) / 700)


def _corners(bands: int, lowest: Tensor, highest: Tensor) -> Tensor:
    """Of all triangles, in hertz; the standard divides by the number of corners, not of gaps."""
    steps = torch.arange(bands + 2, dtype=torch.float64, device=lowest.device)
    mels = lowest + steps * (highest - lowest) / (bands + 2)
    return 700 * torch.expm1(mels * (math.log(10) / 2595))
