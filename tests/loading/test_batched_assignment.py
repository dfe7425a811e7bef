"""Parts of a tensor assigned in place, under vmap with autograd outside, which is how the sweep takes derivatives."""

import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from eigengate.loading.exported import read_exported
from eigengate.loading.torchscript import read_torchscript
from tests.support.torch_networks import saved

pytestmark = [
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:index_reduce"),
]

ROWS = torch.tensor([1, 0])
PLACES = torch.tensor([[0, 1, 1], [3, 2, 0]])
MASK = torch.tensor([[True, False, True], [False, True, True], [True, True, False], [False, False, True]])


def assigned(where: tuple[int | slice, ...], what: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def assign(x: Tensor) -> Tensor:
        y = x.clone()
        y[where] = what(x)
        return y

    return assign


def changed(operator: str, *arguments: object) -> Callable[[Tensor], Tensor]:
    """An operator in place on a copy; arguments that are functions are applied to the input."""

    def change(x: Tensor) -> Tensor:
        given = [argument(x) if callable(argument) else argument for argument in arguments]
        return getattr(x.clone(), operator)(*given)

    return change


def into_zeros(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[..., -1] = x[..., 0] * 2
    return y + x


def into_a_diagonal(x: Tensor) -> Tensor:
    return torch.diagonal_scatter(x, x[..., 0, :2].sin(), 1, -2, -1)


def into_a_spectrum(x: Tensor) -> Tensor:
    spectrum = torch.fft.rfft(x, n=7, dim=-2)
    out = torch.zeros_like(spectrum)
    out[..., :2, :] = spectrum[..., :2, :] * (1.5 - 0.5j)
    out[..., -1, :] = spectrum[..., 0, :] * 1j
    return torch.fft.irfft(out, n=7, dim=-2)


def every(n: int) -> slice:
    return slice(None, None, n)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    **{f"select {k}": assigned((..., k, slice(None)), lambda x: x[..., 1, :] * 2) for k in (0, 3, -1, -4)},
    **{f"select {k} of the last": assigned((..., k), lambda x: x[..., 1].sin()) for k in (0, 2, -2)},
    "a number": assigned((..., -1, -1), lambda x: x[..., 0, 1] * 2),
    "slice": assigned((..., slice(1, 3), slice(None)), lambda x: x[..., :2, :] * 2),
    "slice to -1": assigned((..., slice(None, -1)), lambda x: x[..., 1:] * 2),
    "slice from -2": assigned((..., slice(-2, None)), lambda x: x[..., :2] * 2),
    "slice from -3 to -1": assigned((..., slice(-3, -1), slice(None)), lambda x: x[..., :2, :] * 2),
    "slice beyond": assigned((..., slice(-9, 9)), lambda x: x.flip(-1)),
    "empty slice": assigned((..., slice(3, 1), slice(None)), lambda x: x[..., :0, :]),
    "every other": assigned((..., every(2), slice(None)), lambda x: x[..., :2, :] * 2),
    "narrow": lambda x: x.clone().narrow(-2, -2, 1).mul_(x[..., :1, :]),
    "into zeros": into_zeros,
    "diagonal": into_a_diagonal,
    "spectrum": into_a_spectrum,
    "select_scatter": lambda x: torch.select_scatter(x, x[..., 0].sin(), -1, -1),
    "slice_scatter": lambda x: torch.slice_scatter(x, x[..., :2, :].sin(), -2, -3, -1),
    "copy": changed("copy_", torch.sin),
    "fill": changed("fill_", lambda x: x.sum()),
    "masked_fill": changed("masked_fill_", MASK, lambda x: x.sum()),
    "masked_scatter": changed("masked_scatter_", MASK, torch.sin),
    "index_put": changed("index_put_", (ROWS,), lambda x: x[..., :2, :].sin()),
    "index_put adding": changed("index_put_", (ROWS * 0,), lambda x: x[..., :2, :].sin(), True),
    "index_fill": changed("index_fill_", -2, ROWS, lambda x: x.sum()),
    "index_fill with a number": changed("index_fill_", -2, ROWS, 2.0),
    "index_copy": changed("index_copy_", -2, ROWS, lambda x: x[..., 2:, :].sin()),
    "index_add": changed("index_add_", -2, ROWS, lambda x: x[..., 2:, :].sin()),
    "index_reduce": changed("index_reduce_", -2, ROWS, lambda x: x[..., 2:, :].sin(), "amax"),
    "scatter": changed("scatter_", -2, PLACES, lambda x: x[..., 1:3, :].sin()),
    "scatter a number": changed("scatter_", -2, PLACES, 2.0),
    "scatter_add": changed("scatter_add_", -2, PLACES, lambda x: x[..., 1:3, :].sin()),
    "scatter_reduce": changed("scatter_reduce_", -2, PLACES, lambda x: x[..., 1:3, :].sin(), "amax"),
    "put": changed("put_", ROWS, lambda x: x[..., 2, :2].sin()),
    "clamp": lambda x: torch.clamp(x.sum(), torch.full((3,), -0.1, dtype=x.dtype), x[..., 0, :]),
}


class Applied(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x * 1.0)


def traced(module: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor]:
    program = read_torchscript(saved(torch.jit.trace(module, x, check_trace=False))).program
    return lambda z: program({}, z)[0]


def exported(module: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor]:
    content = io.BytesIO()
    torch.export.save(torch.export.export(module, (x,), strict=False), content)
    program = read_exported(content.getvalue()).program.to(dtype=torch.float64)
    return lambda z: program({}, z)[0]


@pytest.mark.parametrize("form", [traced, exported])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_of_a_batch_are_those_of_its_samples(name: str, form: Callable[..., Callable[[Tensor], Tensor]]):
    function = FUNCTIONS[name]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, 3, generator=generator, dtype=torch.float64)
    lowered = form(Applied(function), x[0])
    one_by_one, batch = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected = torch.stack([function(sample * 1.0) for sample in one_by_one])
    got = torch.vmap(lowered)(batch)
    torch.testing.assert_close(got, expected)
    weights = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    (wanted,) = torch.autograd.grad(expected, one_by_one, weights)
    torch.testing.assert_close(torch.autograd.grad(got, batch, weights, allow_unused=True)[0], wanted)
    _, tangent = torch.func.jvp(torch.vmap(lowered), (x,), (x.flip(0),))
    torch.testing.assert_close((tangent * weights).sum(), (wanted * x.flip(0)).sum())
