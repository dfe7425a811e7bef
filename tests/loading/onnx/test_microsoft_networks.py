"""Networks with ONNX Runtime's own operators, from its optimisers and its model builder, against the eager ones."""

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from eigengate.loading.onnx import OnnxProgram, OnnxRuntime
from tests.support.microsoft import fused_by_hand, networks
from tests.support.microsoft.optimized import contributed, optimized_by_session, optimized_by_tool
from tests.support.onnx_models import architecture, export, exported_architecture

KINDS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "bert": (networks.Bert, "bert"),
    "gpt2": (networks.Gpt2, "gpt2"),
    "llama": (networks.Llama, "gpt2"),
    "vit": (networks.Vit, "vit"),
}
LATER_NORMS = {"SkipLayerNormalization": 4, "BiasGelu": 2}
LATER_RMS_NORMS = {"SimplifiedLayerNormalization": 1, "SkipSimplifiedLayerNormalization": 4}
# What each optimiser is known to write; another release may fuse otherwise, and then this table is to be looked at.
EXPECTED: dict[tuple[str, str], dict[str, int]] = {
    ("bert", "session"): {"FusedMatMul": 2, "BiasGelu": 2, "FusedGemm": 1},
    ("bert", "tool"): {"EmbedLayerNormalization": 1, "Attention": 2, **LATER_NORMS},
    ("bert", "tool, unpacked"): {"EmbedLayerNormalization": 1, "MultiHeadAttention": 2, **LATER_NORMS},
    ("gpt2", "session"): {"FusedMatMul": 2, "FastGelu": 2},
    ("gpt2", "tool"): {"SkipLayerNormalization": 4, "FastGelu": 2},
    ("gpt2", "by hand"): {"Attention": 2, "SkipLayerNormalization": 4, "FastGelu": 2},
    ("llama", "session"): {"SimplifiedLayerNormalization": 5, "FusedMatMul": 2, "QuickGelu": 2},
    ("llama", "tool"): LATER_RMS_NORMS,
    ("llama", "by hand"): {"RotaryEmbedding": 4, "MultiHeadAttention": 2, "QuickGelu": 2, **LATER_RMS_NORMS},
    ("llama", "by hand, grouped"): {"GroupQueryAttention": 2, "QuickGelu": 2, **LATER_RMS_NORMS},
    ("vit", "session"): {"FusedMatMul": 2, "BiasGelu": 2},
    ("vit", "tool"): {"Attention": 2, **LATER_NORMS},
    ("vit", "tool, unpacked"): {"MultiHeadAttention": 2, **LATER_NORMS},
}
# Files keep epsilons and factors in float32, 6e-8 of each; the rest is float64 on both sides.
ATTRIBUTES_ROUNDED = {"rtol": 1e-6, "atol": 1e-9}


@cache
def network(kind: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A network no two of whose parameters are alike, so that each can be found again by its value; and its inputs."""
    generator = torch.Generator().manual_seed(len(kind))
    module = KINDS[kind][0]().eval()
    count = sum(parameter.numel() for parameter in module.parameters())
    values = torch.linspace(-0.3, 0.3, count)[torch.randperm(count, generator=generator)]
    for (name, parameter), numbers in zip(
        module.named_parameters(), values.split([p.numel() for p in module.parameters()]), strict=True
    ):
        is_scale = parameter.ndim == 1 and name.endswith("weight")
        parameter.data = numbers.reshape(parameter.shape) + (1.0 if is_scale else 0.0)
    return module, inputs_for(kind, generator)


def inputs_for(kind: str, generator: torch.Generator) -> tuple[Tensor, ...]:
    tokens = torch.randint(0, 20, (2, 6), generator=generator)
    match kind:
        case "bert":
            seen = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
            return tokens, seen, torch.randint(0, 2, (2, 6), generator=generator)
        case "gpt2":
            return (tokens,)
        case "llama":
            return (torch.randn(2, 6, 5, generator=generator),)
        case _:
            return (torch.randn(2, 3, 8, 8, generator=generator),)


def rewritten(kind: str, how: str, opset: int) -> onnx.ModelProto:
    module, inputs = network(kind)
    match how:
        case "session":
            return optimized_by_session(export(module, inputs, "torchscript", opset), "EXTENDED")
        case "tool" | "tool, unpacked":
            model = export(module, inputs, "torchscript", opset)
            return optimized_by_tool(model, KINDS[kind][1], multi_head=how == "tool, unpacked")
        case _ if kind == "gpt2":
            return fused_by_hand.gpt2(module, inputs[0])
        case _:
            return fused_by_hand.llama(module, inputs[0], grouped=how == "by hand, grouped")


@pytest.mark.parametrize(("kind", "how"), EXPECTED, ids=lambda value: value)
def test_an_optimised_network_is_the_eager_network(kind: str, how: str) -> None:
    """Outputs, and gradients by every parameter and floating input, in float64."""
    module, inputs = network(kind)
    # Before opset 17 layer normalisation is the optimiser's own, in the standard's domain.
    for opset in (14, 18):
        model = rewritten(kind, how, opset)
        assert contributed(model) == Counter(EXPECTED[kind, how])
        check_outputs(model, inputs, module)
        check_gradients(OnnxProgram(model).to(dtype=torch.float64), inputs, double(module))


def check_outputs(model: onnx.ModelProto, inputs: tuple[Tensor, ...], module: nn.Module) -> None:
    program = OnnxProgram(model)
    ours = program(program.parameters, *inputs)[0]
    witness = OnnxRuntime(model.SerializeToString())(*inputs)[0]
    # float32 through two layers, in three orders of summation.
    torch.testing.assert_close(ours, witness, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours, module(*inputs).detach(), rtol=1e-4, atol=1e-5)


def check_gradients(program: OnnxProgram, inputs: tuple[Tensor, ...], module: nn.Module) -> None:
    theirs, ours = double_leaves(inputs), double_leaves(inputs)
    wanted = module(*theirs)
    parameters = {name: value.clone().requires_grad_() for name, value in program.parameters.items()}
    result = program(parameters, *ours)[0]
    torch.testing.assert_close(result, wanted, **ATTRIBUTES_ROUNDED)
    direction = torch.randn(wanted.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (wanted * direction).sum().backward()
    (result * direction).sum().backward()
    for mine, yours in zip(ours, theirs, strict=True):
        if mine.is_floating_point():
            torch.testing.assert_close(mine.grad, yours.grad, **ATTRIBUTES_ROUNDED)
    by_value = {}
    for parameter in module.parameters():
        by_value.update(zip(numbers(parameter), parameter.grad.flatten().tolist(), strict=True))
    assert sum(value.numel() for value in parameters.values()) == len(by_value)
    for value in parameters.values():
        gradient = torch.tensor([by_value[number] for number in numbers(value)], dtype=torch.float64)
        torch.testing.assert_close(value.grad.flatten(), gradient, **ATTRIBUTES_ROUNDED)


def numbers(value: Tensor) -> list[float]:
    return value.detach().flatten().tolist()


def double(module: nn.Module) -> nn.Module:
    with torch.random.fork_rng():
        copy = type(module)().eval()
    copy.load_state_dict(module.state_dict())
    return copy.double()


def double_leaves(inputs: tuple[Tensor, ...]) -> list[Any]:
    return [x.double().requires_grad_() if x.is_floating_point() else x for x in inputs]


FUSED_ARCHITECTURES = {
    ("resnet", "torchscript", 12): {"FusedConv": 3},
    ("mobilenet_v3", "dynamo", 22): {"FusedConv": 6},
    ("efficientnet", "torchscript", 16): {"FusedConv": 2, "QuickGelu": 4},
    ("convnext", "torchscript", 17): {"BiasGelu": 2},
    ("swin", "dynamo", 20): {"FusedMatMul": 2, "BiasGelu": 2},
    ("gpt", "dynamo", 21): {"FusedMatMul": 1, "FastGelu": 1, "SkipLayerNormalization": 1},
}


@pytest.mark.parametrize(("name", "exporter", "opset"), FUSED_ARCHITECTURES)
def test_an_optimised_architecture_is_the_eager_network(name: str, exporter: str, opset: int) -> None:
    """In outputs and input gradients; the parameters are not the network's any more where a norm was folded."""
    module, (x,) = architecture(name)
    model = optimized_by_session(exported_architecture(name, exporter, opset), "EXTENDED")
    assert contributed(model) == Counter(FUSED_ARCHITECTURES[name, exporter, opset])
    program = OnnxProgram(model)
    leaf, eager_leaf = x.clone().requires_grad_(), x.clone().requires_grad_()
    result, wanted = program(program.parameters, leaf)[0], module(eager_leaf)
    # float32 throughout, folded weights too, through a dozen layers.
    torch.testing.assert_close(result, wanted, rtol=1e-4, atol=1e-5)
    result.square().sum().backward()
    wanted.square().sum().backward()
    torch.testing.assert_close(leaf.grad, eager_leaf.grad, rtol=1e-3, atol=1e-4)


def test_opset_imports_that_nothing_uses_do_no_harm() -> None:
    """A session writes all domains that it knows into what it optimises."""
    module, inputs = network("vit")
    model = optimized_by_session(export(module, inputs, "torchscript", 18), "BASIC")
    assert {"com.microsoft.nchwc", "org.pytorch.aten", "ai.onnx.training"} <= {o.domain for o in model.opset_import}
    check_outputs(model, inputs, module)
