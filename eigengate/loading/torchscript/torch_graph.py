"""Reading TorchScript's own graph objects: nodes, schemas, labels, the identity of tensors."""

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


@functools.lru_cache(maxsize=4096)
def parse_schema(text: str) -> torch._C.FunctionSchema:
    """The schema object behind a node's schema text."""
    return torch._C.parse_schema(text)


def label(operator: str, value: torch._C.Value) -> str:
    """The name under which one value is reported, unique in its graph."""
    return f"{operator} %{value.debugName()}"


def walk(block: Any) -> Iterator[Any]:
    """All nodes of a graph or block, those of inner blocks included."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from walk(inner)


def living_graph(module: torch.jit.ScriptModule) -> torch._C.Graph:
    """The graph of a module's ``forward`` without calls and without nodes that nobody reads."""
    graph = module.inlined_graph
    torch._C._jit_pass_dce(graph)
    return graph


def identity(tensor: Tensor) -> tuple[Any, ...]:
    """What tied tensors share after a round trip through a file; empty tensors share nothing."""
    place = tensor.data_ptr() if tensor.numel() else id(tensor)
    return (place, tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype)
