"""Operators that no kernel of the CPU runs, each beside the graph of other operators that it stands for."""

import numpy as np
import onnx
from onnx import helper, parser

from tests.support.microsoft.arrays import Draws, mask
from tests.support.microsoft.case import MicrosoftCase as Case

# Bodies in ONNX's textual syntax over the case's operands x0, x1, ...; the result is y.
Pair = tuple[Case, str]
_PARTS = (
    "ra, ia = Split <axis = -1, num_outputs = 2> (x0)  rb, ib = Split <axis = -1, num_outputs = 2> (x1)  "
    "rr = Mul(ra, rb)  ii = Mul(ia, ib)  ri = Mul(ra, ib)  ir = Mul(ia, rb)"
)
_NORM = "t = Transpose <perm = [0, 3, 1, 2]> (s)  n = GroupNormalization <num_groups = 2, epsilon = 0.1> (t, x1, x2)"


def activations() -> list[Pair]:
    d = Draws("unfused activations")
    x, skip, bias = d.real(2, 3, 4), d.real(2, 3, 4), d.real(4)
    inner, outer = {"axis": 2, "is_inner_broadcast": 1}, {"axis": -1, "is_inner_broadcast": 0}
    return [
        (Case("BiasAdd", "BiasAdd", (x, bias, skip)), "t = Add(x0, x1)  y = Add(t, x2)"),
        (Case("BiasDropout", "BiasDropout", (x, bias)), "y = Add(x0, x1)"),
        (Case("BiasDropout and residual", "BiasDropout", (x, bias, skip)), "t = Add(x0, x1)  y = Add(t, x2)"),
        (
            Case("BiasSplitGelu", "BiasSplitGelu", (x, bias)),
            "t = Add(x0, x1)  l, r = Split <axis = -1, num_outputs = 2> (t)  g = Gelu(r)  y = Mul(l, g)",
        ),
        (Case("BiasSoftmax by rows", "BiasSoftmax", (x, d.real(2, 1, 4)), inner), "t = Add(x0, x1)  y = Softmax(t)"),
        (Case("BiasSoftmax in turn", "BiasSoftmax", (x, d.real(1, 3, 4)), outer), "t = Add(x0, x1)  y = Softmax(t)"),
        (
            Case("BiasSoftmax of matrices", "BiasSoftmax", (x, skip), {"is_inner_broadcast": 0}),
            "t = Add(x0, x1)  m = Flatten(t)  p = Softmax(m)  z = Shape(x0)  y = Reshape(p, z)",
        ),
        (
            Case("GemmFastGelu", "GemmFastGelu", (x, d.real(4, 5), d.real(5))),
            'p = MatMul(x0, x1)  t = Add(p, x2)  y = Gelu <approximate = "tanh"> (t)',
        ),
        (
            Case("GemmFastGelu without bias", "GemmFastGelu", (x, d.real(4, 5))),
            'p = MatMul(x0, x1)  y = Gelu <approximate = "tanh"> (p)',
        ),
    ]


def group_norms() -> list[Pair]:
    d = Draws("unfused norms")
    x, skip, scale, shift, bias = d.real(2, 3, 5, 4), d.real(2, 3, 5, 4), d.scale(4), d.real(4), d.real(4)
    plain, silu = {"groups": 2, "activation": 0, "epsilon": 0.1}, {"groups": 2, "activation": 1, "epsilon": 0.1}
    first = {**plain, "channels_last": 0}
    back = "y = Transpose <perm = [0, 2, 3, 1]> (n)"
    planes = x.transpose(0, 3, 1, 2)
    return [
        (Case("GroupNorm", "GroupNorm", (x, scale, shift), plain), f"s = Identity(x0)  {_NORM}  {back}"),
        (
            Case("GroupNorm and SiLU", "GroupNorm", (x, scale, shift), silu),
            f"s = Identity(x0)  {_NORM}  g = Sigmoid(n)  a = Mul(n, g)  y = Transpose <perm = [0, 2, 3, 1]> (a)",
        ),
        (
            Case("GroupNorm, channels first", "GroupNorm", (planes, scale, shift), first),
            "y = GroupNormalization <num_groups = 2, epsilon = 0.1> (x0, x1, x2)",
        ),
        (
            Case("SkipGroupNorm", "SkipGroupNorm", (x, scale, shift, skip), plain, ("y", "s")),
            f"s = Add(x0, x3)  {_NORM}  {back}",
        ),
        (
            Case("SkipGroupNorm of vectors", "SkipGroupNorm", (x, scale, shift, d.real(2, 4), bias), plain, ("y", "s")),
            "a = Constant <value_ints = [1, 2]> ()  v = Unsqueeze(x3, a)  k = Add(x0, v)  s = Add(k, x4)  "
            f"{_NORM}  {back}",
        ),
    ]


def fourier() -> list[Pair]:
    d = Draws("unfused fourier")
    pairs = d.real(2, 3, 2), d.real(3, 2)
    spectrum = d.real(3, 5, 2)
    spectrum[:, [0, -1], 1] = 0  # what a real signal's spectrum has there; transforms differ on what to make of more
    axis = "x = Constant <value_int = 1> ()  n = Constant <value_int = 8> ()"
    return [
        (
            Case("ComplexMul", "ComplexMul", pairs),
            f"{_PARTS}  r = Sub(rr, ii)  i = Add(ri, ir)  y = Concat <axis = -1> (r, i)",
        ),
        (
            Case("ComplexMulConj", "ComplexMulConj", pairs),
            f"{_PARTS}  r = Add(rr, ii)  i = Sub(ir, ri)  y = Concat <axis = -1> (r, i)",
        ),
        (
            Case("Rfft", "Rfft", (d.real(3, 8),), {"signal_ndim": 1}),
            f"{axis}  a = Constant <value_ints = [-1]> ()  c = Unsqueeze(x0, a)  y = DFT <onesided = 1> (c, n, x)",
        ),
        (
            Case("Irfft", "Irfft", (spectrum,), {"signal_ndim": 1}),
            f"{axis}  b = Constant <value_ints = [-2]> ()  e = Constant <value_ints = [0]> ()  "
            "o = Constant <value_ints = [1]> ()  m = Constant <value_ints = [-1]> ()  "
            "h = Slice(x0, b, e, o, m)  k = Constant <value_floats = [1.0, -1.0]> ()  j = Mul(h, k)  "
            "w = Concat <axis = 1> (x0, j)  t = DFT <inverse = 1> (w, n, x)  "
            "z = Constant <value_int = 0> ()  y = Gather <axis = -1> (t, z)",
        ),
    ]


def packed_attention() -> list[Pair]:
    d = Draws("packed attention")
    q, k, v, bias = d.real(2, 3, 8), d.real(2, 5, 8), d.real(2, 5, 8), d.real(24)
    new_k, new_v = d.real(2, 3, 8), d.real(2, 3, 8)
    pairs = np.stack([x.reshape(2, 5, 2, 4) for x in (k, v)], 3)
    triples = np.stack([x.reshape(2, 3, 2, 4) for x in (q, new_k, new_v)], 3)
    heads = {"num_heads": 2}
    joined = "f = Constant <value_ints = [0, 0, -1]> ()"
    return [
        (
            Case("keys and values in one", "MultiHeadAttention", (q, pairs, None, bias), heads),
            f"{joined}  a, b = Split <axis = 3, num_outputs = 2> (x1)  k = Reshape(a, f)  v = Reshape(b, f)  "
            "y = com.microsoft.MultiHeadAttention <num_heads = 2> (x0, k, v, x3)",
        ),
        (
            Case("all operands in one", "MultiHeadAttention", (triples, None, None, bias), heads),
            f"{joined}  a, b, c = Split <axis = 3, num_outputs = 3> (x0)  q = Reshape(a, f)  k = Reshape(b, f)  "
            "v = Reshape(c, f)  y = com.microsoft.MultiHeadAttention <num_heads = 2> (q, k, v, x3)",
        ),
    ]


def biased_attention() -> list[Pair]:
    d = Draws("biased attention")
    heads = {"num_heads": 2}
    wide = np.stack(
        [mask("11111", "11100", "10100", "11010", "01111"), mask("11111", "01100", "10111", "11000", "11111")]
    )
    packed = d.real(2, 3, 6), d.real(6, 24), d.real(24)
    return [
        (
            Case("a mask for the longest sequence", "Attention", (*packed, wide[:, None]), heads),
            "a = Constant <value_ints = [0, 0, 0]> ()  e = Constant <value_ints = [1, 3, 3]> ()  "
            "o = Constant <value_ints = [1, 2, 3]> ()  s = Slice(x3, a, e, o)  "
            "p = Constant <value_ints = [1]> ()  m = Squeeze(s, p)  "
            "y = com.microsoft.Attention <num_heads = 2> (x0, x1, x2, m)",
        ),
        (
            Case("WavLM's bias", "GatedRelativePositionBias", _wavlm(d), heads),
            "t = Add(x0, x1)  f = Constant <value_ints = [2, 3, 2, 4]> ()  h = Reshape(t, f)  "
            "p = Transpose <perm = [0, 2, 1, 3]> (h)  l = MatMul(p, x3)  b = Add(l, x4)  "
            "g = Constant <value_ints = [2, 2, 3, 2, 3]> ()  c = Reshape(b, g)  a = Constant <value_ints = [-1]> ()  "
            "r = ReduceSum <keepdims = 0> (c, a)  s = Sigmoid(r)  u, w = Split <axis = -1, num_outputs = 2> (s)  "
            "o = Constant <value_float = 1.0> ()  e = Mul(w, x5)  i = Sub(e, o)  j = Mul(u, i)  k = Add(j, o)  "
            "m = Add(k, o)  y = Mul(m, x2)",
        ),
    ]


def _wavlm(d: Draws) -> tuple[np.ndarray, ...]:
    return d.real(2, 3, 8), d.real(8), d.real(1, 2, 3, 3), d.real(4, 6), d.real(6), d.real(1, 2, 1, 1)


def reference(case: Case, body: str) -> onnx.ModelProto:
    """The graph that the case's operator stands for, on the same inputs, giving the first output."""
    inputs = case.model.graph.input
    graph = parser.parse_graph(f"unfused () => (float y) {{ {body} }}")
    graph.input.extend(inputs)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None))
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


PAIRS = (*activations(), *group_norms(), *fourier(), *packed_attention(), *biased_attention())
