"""What the components of the index promise when a model is rewritten without changing its predictions.

The promises are those of the table in ``eigengate.index``.
"""

import copy

import pytest
import torch
from torch import nn

from eigengate.contract import AuditConfig
from tests.support.measuring import SPECTRAL, values
from tests.support.subjects import classes, normal, subject_of

COMPONENTS = ("forward", "parameter", "training", "curvature")
ALL = tuple(f"index.{c}{suffix}" for c in COMPONENTS for suffix in ("", "_typical"))
# Logarithms of float64 results of a few hundred operations.
SAME = 1e-9
X, Y = normal(7, 5, seed=1), classes(7, seed=2)
TARGETS = normal(7, 3, seed=3)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3)).double()


def assert_same(one: dict, other: dict, names=ALL) -> None:
    for name in names:
        assert one[name] == pytest.approx(other[name], abs=SAME), name


@pytest.fixture(scope="module")
def original() -> dict:
    return values(subject_of(network(), X, Y))


@pytest.mark.parametrize("scale", [1e-2, 300.0])
def test_scaling_inputs_and_the_first_layer_against_them_changes_nothing(original, scale):
    module = network()
    with torch.no_grad():
        module[0].weight /= scale
    assert_same(values(subject_of(module, scale * X, Y)), original, (*ALL, "index.gmsi", "index.gmsi_typical"))


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_scaling_logits_keeps_all_but_the_curvature_of_cross_entropy(original, loss):
    module, scale = network(), 5.0
    with torch.no_grad():
        module[4].weight *= scale
        module[4].bias *= scale
    if loss == "squared_error":
        one = values(subject_of(network(), X, TARGETS))
        assert_same(values(subject_of(module, X, scale * TARGETS)), one, (*ALL, "index.gmsi", "index.gmsi_typical"))
        return
    scaled = values(subject_of(module, X, Y))
    assert_same(scaled, original, [name for name in ALL if "curvature" not in name])
    assert abs(scaled["index.curvature"] - original["index.curvature"]) > 1e-3


@pytest.mark.parametrize("scale", [0.05, 20.0])
def test_rescaling_a_relu_layer_against_the_next_changes_nothing(original, scale):
    module = network()
    with torch.no_grad():
        module[0].weight *= scale
        module[0].bias *= scale
        module[2].weight /= scale
    rescaled = values(subject_of(module, X, Y))
    assert_same(rescaled, original, (*ALL, "index.gmsi", "index.gmsi_typical"))
    # Without the units of T they would have changed, which is why they are there.
    assert abs(rescaled["hessian.lambda_max"] / original["hessian.lambda_max"] - 1) > 0.1
    assert abs(rescaled["ntk.dominance"] / original["ntk.dominance"] - 1) > 1e-3
    assert rescaled["input_jacobian.operator_norm"] == pytest.approx(original["input_jacobian.operator_norm"])


def test_permuting_neurons_changes_no_value_at_all(original):
    module = copy.deepcopy(network())
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        module[0].weight.copy_(module[0].weight[order])
        module[0].bias.copy_(module[0].bias[order])
        module[2].weight.copy_(module[2].weight[:, order])
    permuted = values(subject_of(module, X, Y))
    for name, value in original.items():
        assert permuted[name] == pytest.approx(value, rel=1e-8, abs=1e-9), name


def test_the_order_of_parameters_and_samples_changes_no_value(original):
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    shuffled = values(subject_of(network(), X[order], Y[order]))
    for name, value in original.items():
        assert shuffled[name] == pytest.approx(value, rel=1e-8, abs=1e-9), name


def test_tiles_and_batches_change_no_value():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 60), nn.ReLU(), nn.Linear(60, 60), nn.ReLU(), nn.Linear(60, 3)).double()
    x, y = normal(10, 5, seed=1), classes(10, seed=2)
    quantities = ("input_jacobian", "parameter_jacobian", "ntk")
    assert set(quantities) < set(SPECTRAL)
    roomy, tight = (
        values(subject_of(module, x, y), AuditConfig(quantities=quantities, memory_budget_bytes=budget))
        for budget in (2**30, 2**20)
    )
    for name, value in roomy.items():
        if value is not None:
            assert tight[name] == pytest.approx(value, rel=1e-8, abs=1e-9), name
