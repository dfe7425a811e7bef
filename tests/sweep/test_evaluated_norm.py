"""A normalisation by running statistics is spelled out, whichever device's operator a trace holds."""

import operator

import pytest
import torch
from torch import fx

from eigengate.operators.evaluated_norm import evaluated_norm
from eigengate.sweep.evaluated_norm import spell_out_evaluated_norms

_aten = torch.ops.aten
OPERATORS = [_aten.native_batch_norm.default, _aten.cudnn_batch_norm.default, _aten.miopen_batch_norm.default]


def traced(target, *, training: bool) -> fx.Graph:
    """x, weight, bias, mean, variance ↦ the operator's first result."""
    graph = fx.Graph()
    operands = [graph.placeholder(name) for name in ("x", "weight", "bias", "mean", "variance")]
    results = graph.call_function(target, (*operands, training, 0.1, 1e-3))
    graph.output(graph.call_function(operator.getitem, (results, 0)))
    return graph


@pytest.mark.parametrize("target", OPERATORS, ids=str)
def test_it_is_the_affine_map_with_the_operators_own_epsilon(target):
    graph = traced(target, training=False)
    assert len(spell_out_evaluated_norms(graph)) == 1
    assert [node.target for node in graph.nodes if node.op == "call_function"] == [evaluated_norm]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    weight, bias, mean, variance = torch.rand(4, 3, generator=generator, dtype=torch.float64)
    found = fx.GraphModule({}, graph)(x, weight, bias, mean, variance)
    expected = torch.nn.functional.batch_norm(x, mean, variance, weight, bias, False, 0.1, 1e-3)
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("target", OPERATORS, ids=str)
def test_statistics_of_the_batch_are_left_alone(target):
    graph = traced(target, training=True)
    assert not spell_out_evaluated_norms(graph)
    assert target in [node.target for node in graph.nodes]
