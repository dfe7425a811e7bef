"""Decoders written node by node with the operators that ONNX Runtime's model builder uses, from eager weights."""

from collections.abc import Callable

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from tests.support.microsoft.networks import HEADS, WIDTH, Gpt2, Gpt2Block, Llama, LlamaBlock


class _Graph:
    """Nodes under construction: each call makes one and returns the name of its first output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, operator: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: object) -> list[str]:
        names = [f"{operator}_{len(self.nodes)}_{position}" for position in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, domain=domain, **attributes))
        return names

    def fused(self, operator: str, *inputs: str, outputs: int = 1, **attributes: object) -> list[str]:
        return self.node(operator, *inputs, outputs=outputs, domain="com.microsoft", **attributes)

    def constant(self, value: torch.Tensor | np.ndarray, name: str | None = None) -> str:
        array = value.detach().numpy() if isinstance(value, torch.Tensor) else value
        name = name or f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def linear(self, x: str, layer: nn.Linear) -> str:
        (y,) = self.node("MatMul", x, self.constant(layer.weight.T, f"weight_{len(self.constants)}"))
        return y if layer.bias is None else self.node("Add", y, self.bias(layer))[0]

    def bias(self, layer: nn.Linear) -> str:
        return self.constant(layer.bias, f"bias_{len(self.constants)}")

    def model(self, example: torch.Tensor, output: str) -> onnx.ModelProto:
        element = TensorProto.FLOAT if example.is_floating_point() else TensorProto.INT64
        graph = helper.make_graph(
            self.nodes,
            "by_hand",
            [helper.make_tensor_value_info("x", element, example.shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.constants,
        )
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def gpt2(network: Gpt2, ids: torch.Tensor) -> onnx.ModelProto:
    """Packed causal attention, residuals added by the normalisation that follows, the bias by the activation."""
    g = _Graph()
    (words,) = g.node("Gather", g.constant(network.wte.weight, "wte"), "x")
    (places,) = g.node("Gather", g.constant(network.wpe.weight, "wpe"), g.constant(np.arange(ids.shape[1])))
    (stream,) = g.node("Add", words, places)
    scale, shift = g.constant(network.blocks[0].ln_1.weight, "s0"), g.constant(network.blocks[0].ln_1.bias, "b0")
    normed = g.node("LayerNormalization", stream, scale, shift)[0]
    following = [*(block.ln_1 for block in list(network.blocks)[1:]), network.ln_f]
    for block, norm in zip(network.blocks, following, strict=True):
        stream, normed = _gpt2_block(g, block, norm, stream, normed)
    return g.model(ids, g.linear(normed, network.lm_head))


def _gpt2_block(g: _Graph, block: Gpt2Block, norm: nn.LayerNorm, stream: str, normed: str) -> tuple[str, str]:
    """The residual stream after the block and its normalisation by the layer that comes next."""
    weights = g.constant(block.c_attn.weight.T, f"qkv_{len(g.constants)}")
    (mixed,) = g.fused("Attention", normed, weights, g.bias(block.c_attn), num_heads=HEADS, unidirectional=1)
    normed, _, _, stream = _skip_norm(g, g.linear(mixed, block.c_proj), stream, block.ln_2)
    (hidden,) = g.node("MatMul", normed, g.constant(block.c_fc.weight.T, f"fc_{len(g.constants)}"))
    (active,) = g.fused("FastGelu", hidden, g.bias(block.c_fc))
    (projected,) = g.node("MatMul", active, g.constant(block.mlp_proj.weight.T, f"mlp_{len(g.constants)}"))
    normed, _, _, stream = _skip_norm(g, projected, stream, norm, g.bias(block.mlp_proj))
    return stream, normed


def _skip_norm(g: _Graph, x: str, skip: str, norm: nn.LayerNorm, *bias: str) -> list[str]:
    scale, shift = (g.constant(value, f"{kind}_{len(g.constants)}") for kind, value in _scale_and_shift(norm))
    return g.fused("SkipLayerNormalization", x, skip, scale, shift, *bias, outputs=4, epsilon=norm.eps)


def _scale_and_shift(norm: nn.LayerNorm) -> list[tuple[str, torch.Tensor]]:
    return [("scale", norm.weight), ("shift", norm.bias)]


Mixer = Callable[[_Graph, str, str, str, str, str], str]


def llama(network: Llama, x: torch.Tensor, *, grouped: bool) -> onnx.ModelProto:
    """Attention over a cache that turns by itself, or turns apart and attention without one."""
    g = _Graph()
    half = WIDTH // HEADS // 2
    cos, sin = g.constant(network.cos_cached[:, :half], "cos"), g.constant(network.sin_cached[:, :half], "sin")
    mix = _grouped(*x.shape[:2]) if grouped else _turned
    stream = g.linear("x", network.stem)
    first = g.constant(network.blocks[0].input_norm.weight, "first_norm")
    (normed, _) = g.node("SimplifiedLayerNormalization", stream, first, outputs=2, epsilon=1e-6, axis=-1)
    following = [*(block.input_norm.weight for block in list(network.blocks)[1:]), network.norm.weight]
    for block, scale in zip(network.blocks, following, strict=True):
        stream, normed = _llama_block(g, block, scale, stream, normed, lambda *qkv: mix(g, cos, sin, *qkv))
    return g.model(x, g.linear(normed, network.head))


def _llama_block(
    g: _Graph, block: LlamaBlock, scale: torch.Tensor, stream: str, normed: str, mix: Callable[[str, str, str], str]
) -> tuple[str, str]:
    query, key, value = (g.linear(normed, layer) for layer in (block.q_proj, block.k_proj, block.v_proj))
    attended = g.linear(mix(query, key, value), block.o_proj)
    normed, _, _, stream = _rms_norm(g, stream, attended, block.post_norm.weight)
    (gate,) = g.fused("QuickGelu", g.linear(normed, block.gate), alpha=1.0)
    (product,) = g.node("Mul", gate, g.linear(normed, block.up))
    normed, _, _, stream = _rms_norm(g, stream, g.linear(product, block.down), scale)
    return stream, normed


def _rms_norm(g: _Graph, x: str, skip: str, scale: torch.Tensor) -> list[str]:
    name = g.constant(scale, f"scale_{len(g.constants)}")
    return g.fused("SkipSimplifiedLayerNormalization", x, skip, name, outputs=4, epsilon=1e-6)


def _grouped(batch: int, length: int) -> Mixer:
    def mix(g: _Graph, cos: str, sin: str, query: str, key: str, value: str) -> str:
        last = g.constant(np.full(batch, length - 1, np.int32))
        total = g.constant(np.array(length, np.int32))
        attributes = {"num_heads": HEADS, "kv_num_heads": HEADS, "do_rotary": 1}
        operands = (query, key, value, "", "", last, total, cos, sin)
        return g.fused("GroupQueryAttention", *operands, outputs=3, **attributes)[0]

    return mix


def _turned(g: _Graph, cos: str, sin: str, query: str, key: str, value: str) -> str:
    start = g.constant(np.zeros(1, np.int64))
    query, key = (g.fused("RotaryEmbedding", operand, start, cos, sin)[0] for operand in (query, key))
    return g.fused("MultiHeadAttention", query, key, value, num_heads=HEADS, unidirectional=1)[0]
