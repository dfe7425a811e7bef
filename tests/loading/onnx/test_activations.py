"""Activations at every version, against onnxruntime and formulas: the kernels' derivatives must be the formulas'."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import jacfwd, jacrev, vmap

from eigengate.errors import UnsupportedOperatorError
from tests.support.operator_derivatives import check_every_derivative
from tests.support.single_nodes import assert_agrees_with_onnxruntime, node_program, run_node

SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875

Function = Callable[[Tensor], Tensor]


def shrunk(x: Tensor, bias: float, lambd: float) -> Tensor:
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, 0))


def exponential_below_zero(x: Tensor, alpha: float, rate: float = 1.0) -> Tensor:
    return torch.where(x > 0, x, alpha * (torch.exp(rate * torch.clamp(x, max=0)) - 1))


# Numbers that float32 holds: in a file they are no others.
FUNCTIONS: dict[str, tuple[str, tuple[int, ...], dict[str, Any], Function]] = {
    "Relu": ("Relu", (7, 13, 14), {}, lambda x: torch.where(x > 0, x, 0)),
    "LeakyRelu": ("LeakyRelu", (7, 16), {"alpha": 0.25}, lambda x: torch.where(x > 0, x, x / 4)),
    "ThresholdedRelu": ("ThresholdedRelu", (10, 22), {"alpha": 0.75}, lambda x: torch.where(x > 0.75, x, 0)),
    "Elu": ("Elu", (7, 22), {"alpha": 0.75}, lambda x: exponential_below_zero(x, 0.75)),
    "Celu": ("Celu", (12, 28), {"alpha": 0.75}, lambda x: exponential_below_zero(x, 0.75, 1 / 0.75)),
    "Selu": ("Selu", (7, 22), {}, lambda x: SELU_GAMMA * exponential_below_zero(x, SELU_ALPHA)),
    "scaled Selu": (
        "Selu",
        (7, 22),
        {"alpha": 0.5, "gamma": 1.5},
        lambda x: 1.5 * exponential_below_zero(x, 0.5),
    ),
    "Sigmoid": ("Sigmoid", (7, 13), {}, lambda x: 1 / (1 + torch.exp(-x))),
    "HardSigmoid": (
        "HardSigmoid",
        (7, 22),
        {"alpha": 0.25, "beta": 0.375},
        lambda x: torch.minimum(torch.maximum(x / 4 + 0.375, torch.zeros_like(x)), torch.ones_like(x)),
    ),
    "HardSwish": ("HardSwish", (14, 22), {}, lambda x: x * torch.where(x > -3, torch.where(x < 3, x / 6 + 0.5, 1), 0)),
    "Swish": ("Swish", (24,), {}, lambda x: x / (1 + torch.exp(-x))),
    "scaled Swish": ("Swish", (24,), {"alpha": 1.5}, lambda x: x / (1 + torch.exp(-1.5 * x))),
    "Tanh": ("Tanh", (7, 13), {}, lambda x: (torch.exp(2 * x) - 1) / (torch.exp(2 * x) + 1)),
    "Softplus": ("Softplus", (7, 22), {}, lambda x: torch.log(1 + torch.exp(x))),
    "Softsign": ("Softsign", (7, 22), {}, lambda x: x / (1 + torch.sign(x) * x)),
    "Mish": ("Mish", (18, 22), {}, lambda x: x * torch.tanh(torch.log(1 + torch.exp(x)))),
    "Gelu": ("Gelu", (20,), {}, lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2),
    "approximate Gelu": (
        "Gelu",
        (20,),
        {"approximate": "tanh"},
        lambda x: x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    ),
    "Shrink": ("Shrink", (9,), {"bias": 0.25, "lambd": 0.75}, lambda x: shrunk(x, 0.25, 0.75)),
    "soft Shrink": ("Shrink", (9,), {"bias": 0.75, "lambd": 0.75}, lambda x: shrunk(x, 0.75, 0.75)),
    "hard Shrink": ("Shrink", (9,), {"lambd": 0.75}, lambda x: shrunk(x, 0.0, 0.75)),
}

every_function = pytest.mark.parametrize("name", FUNCTIONS)
# What onnxruntime computes under the newest opset only, or not at all.
WITHOUT_WITNESS = {("Celu", 28), ("Swish", 24)}


def points() -> Tensor:
    """Off the kinks at 0, ±0.75, ±1.5, 2.5 and ±3."""
    return torch.tensor([-30.0, -4.1, -2.3, -1.2, -0.6, -0.2, 0.1, 0.4, 0.9, 2.2, 3.7, 6.4, 25.0])


@every_function
def test_every_version_is_that_of_onnxruntime(name: str) -> None:
    operator, opsets, attributes, _ = FUNCTIONS[name]
    for opset in opsets:
        if (operator, opset) not in WITHOUT_WITNESS:
            assert_agrees_with_onnxruntime(operator, points(), opset=opset, **attributes)


@every_function
def test_values_and_two_derivatives_are_the_formulas_in_every_combination_of_modes(name: str) -> None:
    operator, opsets, attributes, formula = FUNCTIONS[name]
    x = points()[1:-1].double()
    program = node_program(operator, x, opset=opsets[-1], **attributes)

    def ours(value: Tensor) -> Tensor:
        result: Tensor = program({}, value)[0]
        return result

    # Rounding of float64, where a formula takes one from an exponential of up to 13.
    digits = {"rtol": 1e-9, "atol": 1e-10}
    torch.testing.assert_close(ours(x), formula(x), **digits)
    for first in (jacrev, jacfwd):
        torch.testing.assert_close(vmap(first(ours))(x), vmap(first(formula))(x), **digits)
        for second in (jacrev, jacfwd):
            torch.testing.assert_close(vmap(second(first(ours)))(x), vmap(second(first(formula)))(x), **digits)


@every_function
def test_derivatives_agree_with_differences(name: str) -> None:
    operator, opsets, attributes, _ = FUNCTIONS[name]
    x = points()[1:-1]
    check_every_derivative(node_program(operator, x, opset=opsets[-1], **attributes), [x])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@every_function
def test_half_precision_is_the_formula_rounded(name: str, dtype: torch.dtype) -> None:
    operator, opsets, attributes, formula = FUNCTIONS[name]
    x = points()[1:-1].to(dtype)
    y = run_node(operator, x, opset=opsets[-1], **attributes)
    assert y.dtype == dtype
    # Two or three steps, each rounded to the type.
    digits = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(y.double(), formula(x.double()), rtol=digits, atol=digits)


@pytest.mark.parametrize("name", ["Softplus", "Mish", "Swish", "Sigmoid", "Elu", "Gelu", "Softsign"])
def test_far_out_values_and_slopes_stay_finite(name: str) -> None:
    operator, opsets, attributes, _ = FUNCTIONS[name]
    x = torch.tensor([-1e4, -800.0, -45.0, 45.0, 800.0, 1e4], dtype=torch.float64)
    program = node_program(operator, x, opset=opsets[-1], **attributes)
    slope = vmap(jacrev(lambda value: program({}, value)[0]))(x)
    assert program({}, x)[0].isfinite().all()
    assert slope.isfinite().all()


def test_softplus_loses_no_digit_on_the_way_to_its_asymptote() -> None:
    x = torch.linspace(15, 60, 46, dtype=torch.float64)
    y = run_node("Softplus", x, opset=22)
    assert torch.equal(y, x + torch.log1p(torch.exp(-x)))


@pytest.mark.parametrize("shape", [(3, 4, 5), (4, 5), (5,), (1,), (), (4, 1), (1, 4, 1), (3, 1, 1)], ids=str)
def test_the_slope_of_prelu_is_broadcast(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    x, slope = torch.randn(3, 4, 5, generator=generator), torch.randn(shape, generator=generator)
    for opset in (7, 9, 16):
        assert_agrees_with_onnxruntime("PRelu", x, slope, opset=opset)
    check_every_derivative(node_program("PRelu", x, slope, opset=16), [x, slope])


def test_at_zero_prelu_has_the_slope_of_the_left() -> None:
    x, slope = torch.zeros(1, dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64)
    program = node_program("PRelu", x, slope, opset=16)
    assert torch.func.grad(lambda value: program({}, value, slope)[0].sum())(x).tolist() == [0.3]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint32, torch.uint64], ids=str)
def test_prelu_of_integers(dtype: torch.dtype) -> None:
    numbers = [3, 0, 7] if dtype in (torch.uint32, torch.uint64) else [-3, 0, 7]
    x, slope = torch.tensor(numbers).to(dtype), torch.tensor([2]).to(dtype)
    y = run_node("PRelu", x, slope, opset=16)
    assert y.dtype == dtype
    assert y.to(torch.int64).tolist() == [2 * number if number < 0 else number for number in numbers]


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.uint8, torch.uint16], ids=str)
@pytest.mark.parametrize("attributes", [{}, {"bias": 1.0, "lambd": 2.0}, {"bias": 0.7, "lambd": 1.2}], ids=str)
def test_shrink_of_integers_is_that_of_onnxruntime(dtype: torch.dtype, attributes: dict[str, float]) -> None:
    x = torch.arange(0 if dtype in (torch.uint8, torch.uint16) else -5, 6).to(dtype)
    assert_agrees_with_onnxruntime("Shrink", x, opset=9, **attributes)


@pytest.mark.parametrize(("opset", "mask"), [(7, torch.float32), (10, torch.bool), (12, torch.bool), (22, torch.bool)])
def test_dropout_keeps_everything_and_says_so(opset: int, mask: torch.dtype) -> None:
    x = points()
    operands = [x, torch.tensor(0.4), torch.tensor(False)] if opset >= 12 else [x]
    attributes = {} if opset >= 12 else {"ratio": 0.4}
    y, kept = run_node("Dropout", *operands, opset=opset, outputs=2, **attributes)
    assert torch.equal(y, x)
    assert kept.dtype == mask
    assert kept.all()


@pytest.mark.parametrize("opset", [12, 13, 22])
def test_dropout_in_training_mode_is_refused_unless_it_drops_nothing(opset: int) -> None:
    x, training = points(), torch.tensor(True)
    assert torch.equal(run_node("Dropout", x, torch.tensor(0.0), training, opset=opset), x)
    for ratio in (torch.tensor(0.4), None):
        with pytest.raises(UnsupportedOperatorError, match="training mode"):
            run_node("Dropout", x, ratio, training, opset=opset)
