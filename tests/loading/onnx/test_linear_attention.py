"""Operators of state-space and linear-attention models, token by token, and attention that subgraphs change."""

import math
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from eigengate.loading.onnx import OnnxProgram
from tests.support.operator_derivatives import check_every_derivative
from tests.support.single_nodes import node_program, run_node

BATCH, LENGTH, HEADS, KEY, VALUE = 2, 3, 2, 3, 2
RULES = ("linear", "gated", "delta", "gated_delta")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def operands(rule: str, queries: int = HEADS, decays: int = HEADS, rates: int = HEADS) -> list[Tensor | None]:
    """All inputs in their order; the decay per head or per feature, the rate per head or one for all."""
    query, key = normal(BATCH, LENGTH, queries * KEY), normal(BATCH, LENGTH, HEADS * KEY, seed=1)
    value, past = normal(BATCH, LENGTH, HEADS * VALUE, seed=2), normal(BATCH, HEADS, KEY, VALUE, seed=3)
    decay = -normal(BATCH, LENGTH, decays, seed=4).abs() if rule.startswith("gated") else None
    beta = torch.sigmoid(normal(BATCH, LENGTH, rates, seed=5)) if rule.endswith("delta") else None
    inputs = [query, key, value, past, decay, beta]
    return inputs if beta is not None else inputs[:5] if decay is not None else inputs[:4]


def token_by_token(inputs: list[Tensor | None], queries: int, scale: float) -> tuple[Tensor, Tensor]:
    """In the terms of the standard, sample by sample and head by head."""
    query, key, value, past, decay, beta = [*inputs, None, None][:6]
    assert query is not None
    assert key is not None
    assert value is not None
    assert past is not None
    outputs, state = torch.zeros(BATCH, LENGTH, queries, VALUE, dtype=query.dtype), past.clone()
    for sample in range(BATCH):
        for step in range(LENGTH):
            for head in range(HEADS):
                k, v = (x[sample, step].reshape(HEADS, -1)[head] for x in (key, value))
                s = state[sample, head]
                if decay is not None:
                    s = torch.exp(decay[sample, step].reshape(HEADS, -1)[head]).reshape(-1, 1) * s
                if beta is not None:
                    v = beta[sample, step].expand(HEADS)[head] * (v - s.T @ k)
                state[sample, head] = s = s + torch.outer(k, v)
                for shared in range(queries // HEADS):
                    place = head * (queries // HEADS) + shared
                    outputs[sample, step, place] = scale * s.T @ query[sample, step].reshape(queries, -1)[place]
    return outputs.flatten(2), state


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("queries", "decays", "rates"), [(2, 2, 2), (4, 6, 1)])
@pytest.mark.parametrize("scale", [0.0, 0.4])
def test_linear_attention_is_the_rule_token_by_token(
    rule: str, queries: int, decays: int, rates: int, scale: float
) -> None:
    inputs = operands(rule, queries, decays, rates)
    attributes = {"opset": 27, "outputs": 2, "q_num_heads": queries, "kv_num_heads": HEADS, "update_rule": rule}
    found = run_node("LinearAttention", *inputs, scale=scale, **attributes)
    for one, other in zip(found, token_by_token(inputs, queries, scale or KEY**-0.5), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)  # sums of some twenty terms in float32


@pytest.mark.parametrize("rule", RULES)
def test_linear_attention_has_two_derivatives(rule: str) -> None:
    inputs = operands(rule)
    attributes = {"q_num_heads": HEADS, "kv_num_heads": HEADS, "update_rule": rule}
    program = node_program("LinearAttention", *inputs, opset=27, outputs=2, **attributes)
    check_every_derivative(program, [x for x in inputs if x is not None])


def test_linear_attention_goes_on_where_the_last_call_ended() -> None:
    inputs = operands("gated_delta")
    attributes = {"opset": 27, "outputs": 2, "q_num_heads": HEADS, "kv_num_heads": HEADS}
    whole, last = run_node("LinearAttention", *inputs, **attributes)
    pieces, state = [], inputs[3]
    for step in range(LENGTH):
        now = [None if x is None else x[:, step : step + 1] for x in inputs]
        piece, state = run_node("LinearAttention", *now[:3], state, *now[4:], **attributes)
        pieces.append(piece)
    assert torch.equal(torch.cat(pieces, 1), whole)
    assert state is not None
    assert torch.equal(state, last)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_linear_attention_in_half_precision_is_computed_in_single(dtype: torch.dtype) -> None:
    inputs = [None if x is None else x.to(dtype) for x in operands("gated_delta")]
    wide = [None if x is None else x.float() for x in inputs]
    attributes = {"opset": 27, "outputs": 2, "q_num_heads": HEADS, "kv_num_heads": HEADS}
    found = run_node("LinearAttention", *inputs, **attributes)
    exact = run_node("LinearAttention", *wide, **attributes)
    assert all(torch.equal(one, other.to(dtype)) for one, other in zip(found, exact, strict=True))


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("activation", ["none", "silu", "swish"])
@pytest.mark.parametrize("given", ["nothing", "bias", "both"])
def test_a_causal_convolution_sees_its_past_only(width: int, activation: str, given: str) -> None:
    x, weight = normal(2, 3, 5), normal(3, 1, width, seed=1)
    bias = None if given == "nothing" else normal(3, seed=2)
    past = normal(2, 3, width - 1, seed=3) if given == "both" else None
    inputs = [x, weight] if bias is None else [x, weight, bias] if past is None else [x, weight, bias, past]
    attributes: dict[str, Any] = {"opset": 27, "outputs": 2, "activation": activation}
    y, state = run_node("CausalConvWithState", *inputs, **attributes)
    padded = torch.cat([torch.zeros(2, 3, width - 1) if past is None else past, x], 2)
    expected = torch.stack([(padded[:, :, t : t + width] * weight[:, 0]).sum(-1) for t in range(5)], -1)
    expected = expected if bias is None else expected + bias.reshape(-1, 1)
    expected = expected if activation == "none" else expected * torch.sigmoid(expected)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6)  # sums of up to five terms in float32
    assert torch.equal(state, padded[:, :, 5:])
    check_every_derivative(node_program("CausalConvWithState", *inputs, **attributes), inputs)


def modifier(name: str, operator: str, number: float) -> onnx.GraphProto:
    """``operator`` of its only argument and a number."""
    constant = numpy_helper.from_array(np.array(number, np.float32), f"{name}_number")
    value = [helper.make_tensor_value_info(f"{name}_{end}", TensorProto.FLOAT, [None] * 4) for end in ("in", "out")]
    node = helper.make_node(operator, [f"{name}_in", f"{name}_number"], [f"{name}_out"])
    return helper.make_graph([node], name, value[:1], value[1:], [constant])


def flexible_attention(inputs: list[Tensor], **attributes: Any) -> OnnxProgram:
    names = ["q", "k", "v"]
    node = helper.make_node("FlexAttention", names, ["y"], domain="ai.onnx.preview", **attributes)
    types = [helper.np_dtype_to_tensor_dtype(x.numpy().dtype) for x in inputs]
    fed = [
        helper.make_tensor_value_info(n, kind, list(x.shape)) for n, kind, x in zip(names, types, inputs, strict=True)
    ]
    graph = helper.make_graph([node], "flexible", fed, [helper.make_empty_tensor_value_info("y")])
    opsets = [helper.make_opsetid("", 26), helper.make_opsetid("ai.onnx.preview", 1)]
    return OnnxProgram(helper.make_model(graph, opset_imports=opsets, ir_version=10))


@pytest.mark.parametrize("heads", [2, 4])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_subgraphs_change_scores_and_weights(heads: int, scale: float | None) -> None:
    inputs = [normal(2, heads, 3, 4), normal(2, 2, 5, 4, seed=1), normal(2, 2, 5, 3, seed=2)]
    query, key, value = inputs
    changes = {"score_mod": modifier("score", "Mul", 1.5), "prob_mod": modifier("prob", "Pow", 2.0)}
    program = flexible_attention(inputs, **changes, **({} if scale is None else {"scale": scale}))
    key, value = (x.repeat_interleave(heads // 2, 1) for x in (key, value))
    scores = query @ key.mT * (0.5 if scale is None else scale)
    expected = F.softmax(1.5 * scores, -1) ** 2 @ value
    torch.testing.assert_close(program({}, *inputs)[0], expected, rtol=1e-5, atol=1e-6)  # rounding of float32
    check_every_derivative(program, inputs)


def test_precision_of_the_softmax_is_at_least_single_unless_said_otherwise() -> None:
    inputs = [x.half() for x in (normal(1, 2, 3, 4), normal(1, 2, 5, 4, seed=1), normal(1, 2, 5, 4, seed=2))]
    query, key, value = inputs
    root = torch.tensor(math.sqrt(0.5)).half()
    scores = ((query * root) @ (key * root).mT).float()
    wide, narrow = (
        flexible_attention(inputs, **given)({}, *inputs)[0]
        for given in ({}, {"softmax_precision": int(TensorProto.FLOAT16)})
    )
    assert (wide.dtype, narrow.dtype) == (torch.float16, torch.float16)
    assert torch.equal(wide, (F.softmax(scores, -1) @ value.float()).half())
    assert not torch.equal(wide, narrow)
