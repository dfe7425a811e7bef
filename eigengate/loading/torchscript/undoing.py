"""What ties a module to the machine it was made on is undone in its graphs, before anything is lifted or run.

The original executor then runs the same graphs as we do: devices become the CPU, on which every model is witnessed, and
operators that one vendor's library fuses become the plain ones they stand for.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch

from eigengate.loading.torchscript.torch_graph import walk

_CONVOLUTION: Final = (
    "%no : bool = prim::Constant[value=0]()",
    "%zero : int = prim::Constant[value=0]()",
    "%extra : int[] = prim::ListConstruct(%zero)",
    "%conv = aten::convolution(%x, %w, %b, %stride, %padding, %dilation, %no, %extra, %groups)",
)
_RELU: Final = (
    "%x, %w, %b, %stride, %padding, %dilation, %groups",
    (*_CONVOLUTION, "%out = aten::relu(%conv)"),
)
_ADD_RELU: Final = (
    "%x, %w, %z, %alpha, %b, %stride, %padding, %dilation, %groups",
    (*_CONVOLUTION, "%sum = aten::add(%conv, %z, %alpha)", "%out = aten::relu(%sum)"),
)
_FUSED: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "aten::cudnn_convolution_relu": _RELU,
    "aten::miopen_convolution_relu": _RELU,
    "aten::cudnn_convolution_add_relu": _ADD_RELU,
    "aten::miopen_convolution_add_relu": _ADD_RELU,
    "aten::mkldnn_convolution": (
        "%x, %w, %b, %padding, %stride, %dilation, %groups",
        (*_CONVOLUTION, "%out = aten::alias(%conv)"),
    ),
    "aten::cuda": ("%x", ("%out = aten::cpu(%x)",)),
}
"""By operator: its arguments, and the statements that give the same."""


def undo(module: torch.jit.ScriptModule) -> tuple[str, ...]:
    """Rewrite a module's graphs in place; returns what was undone: devices and fused operators, sorted."""
    undone: set[str] = set()
    for graph in _graphs(module):
        undone |= set(_to_cpu(graph))
        for operator in {node.kind() for node in walk(graph)} & _FUSED.keys():
            _replace(operator, graph)
            undone.add(operator)
    return tuple(sorted(undone))


def _graphs(module: torch.jit.ScriptModule) -> Iterator[Any]:
    """The graph of forward with everything it calls in it, and of what it can only call by interface."""
    own: Any = module._c
    forward = own._get_method("forward").graph
    torch._C._jit_pass_inline(forward)
    yield forward
    if any(node.kind() == "prim::CallMethod" for node in walk(forward)):
        parts: list[Any] = [part._c for part in module.modules()]
        for method in (part._get_method(name) for part in parts for name in part._method_names()):
            torch._C._jit_pass_inline(method.graph)
            yield method.graph


def _to_cpu(graph: Any) -> Iterator[str]:
    for node in walk(graph):
        if node.kind() == "prim::Constant" and node.output().type().kind() == "DeviceObjType":
            device = node.s("value")
            if device != "cpu":
                node.s_("value", "cpu")
                yield device


def _replace(operator: str, graph: Any) -> None:
    arguments, statements = _FUSED[operator]
    pattern, plain = (
        "\n ".join([f"graph({arguments}):", *lines, "return (%out)"])
        for lines in ((f"%out = {operator}({arguments})",), statements)
    )
    torch._C._jit_pass_custom_pattern_based_rewrite_graph(pattern, plain, graph)
