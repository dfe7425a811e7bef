"""The original executor as witness."""

import pytest
import torch

from eigengate.loading.torchscript import read_torchscript
from tests.support.torch_networks import NETWORKS, torchscript

SETTINGS = (torch._C._get_graph_executor_optimize, torch._C._jit_texpr_fuser_enabled)


def executor_settings() -> tuple[bool, ...]:
    executor = torch._C._jit_set_profiling_executor(True)
    torch._C._jit_set_profiling_executor(executor)
    mode = torch._C._jit_set_profiling_mode(True)
    torch._C._jit_set_profiling_mode(mode)
    return (executor, mode, *(setting() for setting in SETTINGS))


@pytest.mark.parametrize(
    ("name", "form"),
    [*((name, "traced_inference") for name in sorted(NETWORKS)), ("control_flow", "scripted"), ("encoder", "scripted")],
)
def test_watched_values_are_those_of_the_original_executor(name, form):
    network, x = NETWORKS[name]()
    lowered = read_torchscript(torchscript(network, x, form))
    watched = dict(lowered.program.watch(lowered.program.parameters, x))
    original = lowered.runtime.values(list(watched), x)
    assert original.keys() == watched.keys(), "values inside branches and loops are there too"
    for label, value in original.items():
        # Fused kernels add in another order than our decomposition, in float32 and on values of order ten.
        torch.testing.assert_close(watched[label], value, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(lowered.runtime(x)[0], lowered.program(lowered.program.parameters, x)[0])


def test_a_value_changed_in_place_later_is_given_as_it_was():
    network, x = NETWORKS["lenet"]()
    lowered = read_torchscript(torchscript(network, x))
    label = next(n for n, _ in lowered.program.watch(lowered.program.parameters, x) if n.startswith("aten::_conv"))
    (value,) = lowered.runtime.values([label], x).values()
    assert value.min() < 0, "a later relu_ must not reach the convolution's value"


def test_names_the_executor_cannot_give_are_left_out():
    network, x = NETWORKS["mlp"]()
    assert read_torchscript(torchscript(network, x)).runtime.values(["no such value"], x) == {}


def test_the_executor_settings_are_restored():
    network, x = NETWORKS["mlp"]()
    runtime = read_torchscript(torchscript(network, x)).runtime
    before = executor_settings()
    runtime(x)
    runtime.values(["anything"], x)
    assert executor_settings() == before
    assert torch.is_grad_enabled()
