"""What a network prints or warns of says nothing about the function it computes, and is left out of its graphs."""

from collections.abc import Iterator
from typing import Any, Final

import torch

from eigengate.loading.torchscript.torch_graph import walk

SPEECH: Final = frozenset({"prim::Print", "aten::warn"})


def silence(module: torch.jit.ScriptModule) -> None:
    """Take printing and warning out of a module's graphs, in place, once calls are inlined.

    The original executor runs the same graphs, so that it is silent as well.
    """
    for graph in _graphs(module):
        for node in [node for node in walk(graph) if node.kind() in SPEECH]:
            node.destroy()


def _graphs(module: torch.jit.ScriptModule) -> Iterator[Any]:
    parts: list[Any] = [part._c for part in module.modules()]
    return (part._get_method(name).graph for part in parts for name in part._method_names())
