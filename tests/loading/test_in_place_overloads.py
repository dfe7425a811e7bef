"""Operators that work in place whose functional form goes by another overload name, or changes a shape."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.exported import read_exported
from eigengate.loading.program import Program
from eigengate.loading.torchscript import read_torchscript
from eigengate.loading.torchscript.allowed import refusal
from eigengate.loading.torchscript.rewrites import REWRITES
from eigengate.loading.torchscript.twins import functional_twin
from tests.support.exported_networks import FIXED
from tests.support.exported_networks import exported as archive
from tests.support.torch_networks import saved

NOT_FUNCTIONAL = {
    "aten::fill_diagonal_.",
    *(f"aten::__i{name}__.{kind}" for name in ("and", "or", "xor") for kind in ("Tensor", "Scalar")),
    # Drawn by rewrites of their own, or the identity.
    *(f"aten::{name}_." for name in ("normal", "dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout")),
}
"""Names with overloads of those that are refused or written from others."""

POWERS = torch.linspace(-1.0, 2.0, 12, dtype=torch.float64).view(4, 3)


class Applied(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x * 1.0)


def traced(module: nn.Module, x: Tensor) -> Program:
    return read_torchscript(saved(torch.jit.trace(module, x, check_trace=False))).program


def exported(module: nn.Module, x: Tensor) -> Program:
    return read_exported(archive(module, (x,), FIXED)).program.to(dtype=torch.float64)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "pow": lambda x: x.pow_(2),
    "pow of a tensor": lambda x: x.pow_(POWERS),
    "float_power": lambda x: x.float_power_(2),
    "float_power of a tensor": lambda x: x.float_power_(POWERS),
    "ldexp": lambda x: x.ldexp_(torch.ones(3).cumsum(0)),
    "t": lambda x: x.t_().t_() * 2,
    "transpose": lambda x: x.transpose_(0, 1) * 2,
    "swapaxes": lambda x: x.swapaxes_(0, 1) * 2,
    "swapdims": lambda x: x.swapdims_(0, -1) * 2,
    "polygamma": lambda x: x.polygamma_(1),
    "unsqueeze and squeeze": lambda x: x.unsqueeze_(0).mul_(2).squeeze_(0),
    "a transposed view beside its base": lambda x: x + x[:, :2].sin().add_(1).t_().sum(),
}


@pytest.mark.parametrize("form", [traced, exported])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_gives_the_numbers_and_derivatives_of_eager_execution(name: str, form: Callable[..., Program]):
    function = FUNCTIONS[name]
    x = torch.linspace(0.4, 2.0, 12, dtype=torch.float64).view(4, 3)
    program = form(Applied(function), x)
    leaf, ours = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected, got = function(leaf * 1.0), program({}, ours)[0]
    torch.testing.assert_close(got, expected)
    slope = torch.autograd.grad(expected.sin().sum(), leaf)[0]
    torch.testing.assert_close(torch.autograd.grad(got.sin().sum(), ours)[0], slope)


@pytest.mark.parametrize("form", [traced, exported])
def test_division_to_the_floor_has_zero_derivative(form: Callable[..., Program]):
    x = torch.linspace(0.4, 5.0, 12, dtype=torch.float64).view(4, 3)
    program = form(Applied(lambda x: x.floor_divide_(2) + x), x)
    value, tangent = torch.func.jvp(lambda z: program({}, z)[0], (x,), (x,))
    torch.testing.assert_close(value, 2 * torch.floor(x / 2))
    assert not tangent.any()


def test_a_turned_view_is_never_written_back_into_its_base():
    def turned(x: Tensor) -> Tensor:
        view = x[:, :2].unsqueeze(-1)[:, :, 0].view(2, 2)
        view.t_()
        return x[:, :2] + view

    x = torch.linspace(0.4, 2.0, 4, dtype=torch.float64).view(2, 2)
    torch.testing.assert_close(traced(Applied(turned), x)({}, x)[0], x + x.t())

    def written(x: Tensor) -> Tensor:
        view = x[:, :2]
        view.t_().mul_(torch.ones(2, dtype=x.dtype).cumsum(0))
        return x

    with pytest.raises(UnsupportedOperatorError, match="shares memory"):
        traced(Applied(written), x)
    torch.testing.assert_close(exported(Applied(written), x)({}, x)[0], written(x.clone()))


def test_every_operator_that_works_in_place_has_a_twin_with_its_arguments():
    def takes(schema: torch._C.FunctionSchema) -> list[str]:
        return [f"{argument.name}: {argument.type}" for argument in schema.arguments]

    without = []
    for schema in torch._C._jit_get_all_schemas():
        arguments = schema.arguments
        written = arguments and arguments[0].alias_info is not None and str(arguments[0].type) == "Tensor"
        is_rewritten = {schema.name, schema.name.removesuffix("_")} & REWRITES.keys()
        if written and schema.name.endswith("_") and refusal(schema.name) is None and not is_rewritten:
            twin = functional_twin(schema.name.removesuffix("_"), schema)
            if twin is None or takes(twin._schema) != takes(schema):
                without.append(f"{schema.name}.{schema.overload_name}")
    assert set(without) == NOT_FUNCTIONAL
