"""DFT and STFT: against numpy, onnxruntime and torch, and their derivatives."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.fixed_operands import SINGLE, agree, differentiate, normal, run


def pairs(z: np.ndarray) -> Tensor:
    """Complex numbers as pairs of single precision."""
    return torch.from_numpy(np.stack([z.real, z.imag], -1).astype(np.float32))


def complex_of(x: Tensor) -> np.ndarray:
    wide = x.double().numpy()
    return wide[..., 0] + 1j * wide[..., 1] if x.shape[-1] == 2 else wide[..., 0]


def transformed(x: Tensor, axis: int, *, length: int | None = None, opset: int = 20, **attributes: Any) -> Tensor:
    """Our DFT, the axis being an attribute or an input as the version has it."""
    n = None if length is None else np.array(length)
    if opset < 20:
        return run("DFT", x, n, opset=opset, axis=axis, **attributes)
    return run("DFT", x, n, np.array(axis), opset=opset, **attributes)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("inverse", [0, 1])
@pytest.mark.parametrize("length", [None, 4, 5, 9])
@pytest.mark.parametrize("axis", [0, 1, 2, -2])
@pytest.mark.parametrize("opset", [17, 20])
def test_a_transform_is_that_of_numpy(opset: int, axis: int, length: int | None, inverse: int, parts: int) -> None:
    x = normal(3, 5, 6, parts)
    along = axis if axis >= 0 else 2
    transform = np.fft.ifft if inverse else np.fft.fft
    wanted = transform(complex_of(x), length, along)
    torch.testing.assert_close(
        transformed(x, axis, length=length, opset=opset, inverse=inverse), pairs(wanted), **SINGLE
    )


@pytest.mark.parametrize("length", [None, 4, 5, 9])
@pytest.mark.parametrize("opset", [17, 20])
def test_half_of_the_frequencies_of_a_real_signal_and_back(opset: int, length: int | None) -> None:
    x = normal(3, 6, 1)
    half = transformed(x, 1, length=length, opset=opset, onesided=1)
    torch.testing.assert_close(half, pairs(np.fft.rfft(complex_of(x), length, 1)), **SINGLE)
    back = transformed(half, 1, length=length, opset=opset, onesided=1, inverse=1)
    wanted = torch.from_numpy(np.fft.irfft(complex_of(half), length, 1)).float().unsqueeze(-1)
    torch.testing.assert_close(back, wanted, **SINGLE)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("inverse", [0, 1])
def test_the_axis_is_the_last_of_the_signal_or_in_older_versions_the_first(inverse: int, parts: int) -> None:
    x = normal(3, 5, 6, parts)
    agree("DFT", x, opset=17, inverse=inverse)
    agree("DFT", x, opset=20, inverse=inverse)
    assert torch.equal(run("DFT", x, opset=17, inverse=inverse), transformed(x, 1, inverse=inverse))
    assert torch.equal(run("DFT", x, opset=20, inverse=inverse), transformed(x, 2, inverse=inverse))


@pytest.mark.parametrize(
    ("parts", "attributes"),
    [(1, {}), (2, {}), (2, {"inverse": 1}), (1, {"onesided": 1}), (2, {"onesided": 1, "inverse": 1})],
    ids=str,
)
@pytest.mark.parametrize("length", [None, np.array(4), np.array(7)], ids=str)
def test_every_derivative_of_a_transform_is_right(
    length: np.ndarray | None, parts: int, attributes: dict[str, Any]
) -> None:
    differentiate("DFT", normal(2, 5, 3, parts), length, opset=17, **attributes)
    differentiate("DFT", normal(2, 3, 5, parts), length, np.array(-2), opset=20, **attributes)


def test_half_precision_is_transformed_in_single_precision() -> None:
    x = normal(2, 8, 1).half()
    y = run("DFT", x, opset=20)
    assert y.dtype == torch.float16
    # Rounded once from single precision: half a unit of eleven bits.
    torch.testing.assert_close(y.float(), run("DFT", x.float(), opset=20), rtol=2**-11, atol=1e-6)


SIGNAL = normal(2, 23, 1)
WINDOW = torch.hann_window(6) + 0.1


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize(
    ("window", "length"), [(WINDOW, None), (WINDOW, np.array(6)), (None, np.array(6)), (None, np.array(7))], ids=str
)
@pytest.mark.parametrize("step", [1, 3, 8])
def test_short_time_transforms_are_those_of_onnxruntime(
    step: int, window: Tensor | None, length: np.ndarray | None, onesided: int
) -> None:
    agree("STFT", SIGNAL, np.array(step), window, length, opset=17, onesided=onesided)
    if not onesided:
        agree("STFT", normal(2, 23, 2), np.array(step), window, length, opset=17, onesided=0)


def test_short_time_transforms_are_those_of_torch() -> None:
    y = run("STFT", SIGNAL, np.array(3), WINDOW, opset=17)
    wanted = torch.stft(SIGNAL[..., 0], 6, 3, window=WINDOW, center=False, return_complex=True)
    torch.testing.assert_close(y, torch.view_as_real(wanted.transpose(1, 2)), **SINGLE)


def test_without_window_and_length_the_whole_signal_is_one_frame() -> None:
    y = run("STFT", SIGNAL, np.array(1), opset=17, onesided=0)
    torch.testing.assert_close(y, pairs(np.fft.fft(complex_of(SIGNAL), axis=1)).unsqueeze(1), **SINGLE)


@pytest.mark.parametrize("parts", [1, 2])
def test_every_derivative_by_signal_and_window_is_right(parts: int) -> None:
    signal = normal(2, 11, parts)
    differentiate("STFT", signal, np.array(2), WINDOW, opset=17, onesided=0)
    differentiate("STFT", signal, np.array(5), None, np.array(4), opset=17, onesided=0)
    if parts == 1:
        differentiate("STFT", signal, np.array(2), WINDOW, opset=17)
