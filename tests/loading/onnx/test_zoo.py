"""Networks exported by both exporters, against the networks themselves and against onnxruntime."""

import copy
from collections.abc import Callable

import onnx
import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, jacfwd, jacrev, jvp, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from eigengate.loading.onnx import OnnxProgram, read_onnx
from tests.support.onnx_models import ZOO, exported, network, twice_differentiable

NEEDS_14 = {"vision_transformer", "causal_encoder", "token_classifier"}
EXPORTS = [
    *((name, "torchscript", 14 if name in NEEDS_14 else 12) for name in ZOO),
    *((name, "torchscript", 17) for name in ZOO),
    *((name, "dynamo", 18) for name in ("mlp", "residual", "vision_transformer", "token_classifier")),
    *((name, "dynamo", 23) for name in ("mobile", "squeeze_excite", "causal_encoder", "einsum")),
]
# Numbers that are attributes of the file (epsilons, the factors of SELU and GELU) are stored in single precision.
FILE_PRECISION = {"rtol": 3e-7, "atol": 3e-8}

zoo = pytest.mark.parametrize(("name", "exporter", "opset"), EXPORTS)


def double(name: str, exporter: str, opset: int) -> tuple[OnnxProgram, torch.nn.Module, Tensor]:
    module, x = network(name)
    program = OnnxProgram(onnx.load_from_string(exported(name, exporter, opset))).to(dtype=torch.float64)
    return program, twice_differentiable(copy.deepcopy(module).double()), x.double() if x.is_floating_point() else x


@zoo
def test_float32_program_agrees_with_onnxruntime(name: str, exporter: str, opset: int) -> None:
    lowered, x = read_onnx(exported(name, exporter, opset)), network(name)[1]
    (ours,), (theirs,) = lowered.program(lowered.program.parameters, x), lowered.runtime(x)
    # A few hundred roundings of single precision.
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=2e-6)


@zoo
def test_float64_program_agrees_with_the_network_itself(name: str, exporter: str, opset: int) -> None:
    program, module, x = double(name, exporter, opset)
    (y,) = program(program.parameters, x)
    assert y.dtype == torch.float64
    torch.testing.assert_close(y, module(x).detach(), **FILE_PRECISION)


@zoo
def test_trained_elements_are_those_of_the_network(name: str, exporter: str, opset: int) -> None:
    program, module, _ = double(name, exporter, opset)
    trained = dict(module.named_parameters())
    assert sum(value.numel() for value in program.parameters.values()) == sum(p.numel() for p in trained.values())
    for key in program.parameters.keys() & trained.keys():
        assert program.parameters[key].shape == trained[key].shape
    # What is not called as in the network has a name of the exporter's, never that of a buffer.
    assert all("." not in key for key in program.parameters.keys() - trained.keys())


@zoo
def test_constants_follow_the_data_to_its_device(name: str, exporter: str, opset: int) -> None:
    """On the device without data, operands left behind on the CPU would be refused just as on an accelerator."""
    program, module, x = double(name, exporter, opset)
    elsewhere = program.to(device=torch.device("meta"))
    (y,) = elsewhere(elsewhere.parameters, x.to("meta"))
    assert (y.device.type, y.dtype, y.shape) == ("meta", torch.float64, module(x).shape)


@zoo
def test_samples_one_by_one_give_the_batch(name: str, exporter: str, opset: int) -> None:
    program, _, x = double(name, exporter, opset)
    per_sample = vmap(lambda sample: program(program.parameters, sample.unsqueeze(0))[0].squeeze(0))(x)
    torch.testing.assert_close(per_sample, program(program.parameters, x)[0])


@zoo
def test_input_derivatives_of_first_and_second_order_agree_with_the_network(
    name: str, exporter: str, opset: int
) -> None:
    program, module, x = double(name, exporter, opset)
    if not x.is_floating_point():
        pytest.skip("tokens have no derivative")
    parameters = dict(module.named_parameters())

    def ours(z: Tensor) -> Tensor:
        return program(program.parameters, z.unsqueeze(0))[0].squeeze(0)

    def theirs(z: Tensor) -> Tensor:
        return functional_call(module, parameters, (z.unsqueeze(0),)).squeeze(0)

    with sdpa_kernel(SDPBackend.MATH):
        expected, expected_hvp = jacrev(theirs)(x[0]), hessian_product(theirs, x[0])
    torch.testing.assert_close(jacrev(ours)(x[0]), expected.detach(), **FILE_PRECISION)
    torch.testing.assert_close(jacfwd(ours)(x[0]), expected.detach(), **FILE_PRECISION)
    torch.testing.assert_close(forward_over_reverse(ours, x[0]), expected_hvp.detach(), rtol=2e-6, atol=2e-6)
    torch.testing.assert_close(hessian_product(ours, x[0]), expected_hvp.detach(), rtol=2e-6, atol=2e-6)


@zoo
def test_parameter_derivatives_agree_with_the_network(name: str, exporter: str, opset: int) -> None:
    """Exporters transpose weights, so we compare what does not depend on layout: G Gᵀ and the curvature along θ."""
    program, module, x = double(name, exporter, opset)
    module_parameters = {key: value.detach() for key, value in module.named_parameters()}

    def ours(parameters: dict[str, Tensor]) -> Tensor:
        return program(parameters, x)[0]

    def theirs(parameters: dict[str, Tensor]) -> Tensor:
        return functional_call(module, parameters, (x,))

    with sdpa_kernel(SDPBackend.MATH):
        expected_gram, expected_curvature = gram(theirs, module_parameters), curvature(theirs, module_parameters)
    scale = expected_gram.abs().max()
    torch.testing.assert_close(
        gram(ours, dict(program.parameters)) / scale, expected_gram / scale, rtol=1e-6, atol=1e-6
    )
    torch.testing.assert_close(
        curvature(ours, dict(program.parameters)), expected_curvature, rtol=1e-5, atol=1e-6 * float(scale)
    )


def hessian_product(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """H v of a scalar of the outputs by reverse over reverse, v fixed."""
    slope = grad(lambda z: function(z).pow(2).sum())
    return vjp(slope, x)[1](torch.linspace(-1, 1, x.numel(), dtype=x.dtype).reshape(x.shape))[0]


def forward_over_reverse(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    slope = grad(lambda z: function(z).pow(2).sum())
    return jvp(slope, (x,), (torch.linspace(-1, 1, x.numel(), dtype=x.dtype).reshape(x.shape),))[1]


def gram(function: Callable[[dict[str, Tensor]], Tensor], parameters: dict[str, Tensor]) -> Tensor:
    jacobian = jacrev(function)(parameters)
    rows = torch.cat([block.flatten(0, 1).flatten(1) for block in jacobian.values()], 1)
    return (rows @ rows.T).detach()


def curvature(function: Callable[[dict[str, Tensor]], Tensor], parameters: dict[str, Tensor]) -> Tensor:
    """θᵀHθ of the mean squared output."""
    slope = grad(lambda values: function(values).pow(2).mean())
    product = vjp(slope, parameters)[1](parameters)[0]
    return sum((product[key] * parameters[key]).sum() for key in parameters).detach()
