"""``with torch.no_grad():`` in scripted code says how to run, not what to compute, and is taken out of the graphs.

The original executor runs the same graphs, so that nothing in them switches gradients on or off.
"""

from collections.abc import Iterator
from typing import Any, Final

import torch

from eigengate.loading.torchscript.torch_graph import walk

GRAD_MODE: Final = "code/__torch__/torch/autograd/grad_mode.py"
"""Where an archive holds what such a block does on entering and leaving; the only code that may switch gradients."""
SWITCH: Final = "aten::set_grad_enabled"

_NO_GRAD: Final = "__torch__.torch.autograd.grad_mode.no_grad"
_USES: Final = frozenset({"prim::SetAttr", "prim::Enter", "prim::Exit"})
_MODE_READERS: Final = frozenset({"aten::is_grad_enabled", "prim::CallMethod"})
"""They ask whether gradients are on, or may do so where nobody sees it."""


def with_gradients(module: torch.jit.ScriptModule) -> bool:
    """Take the blocks out of a module's graphs, in place; True if there were any.

    A graph that asks for the mode, or does anything else with a block, keeps it, and is refused when it is vetted.
    """
    found = False
    for graph in _graphs(module):
        torch._C._jit_pass_inline(graph)
        nodes = list(walk(graph))
        if any(node.kind() in _MODE_READERS for node in nodes):
            continue
        made = [node for node in nodes if node.kind() == "prim::CreateObject" and _is_block(node)]
        for node in made:
            uses = [use.user for use in node.output().uses()]
            if all(_is_plain(use) for use in uses):
                for each in (*uses, node):
                    each.destroy()
                found = True
    return found


def _graphs(module: torch.jit.ScriptModule) -> Iterator[Any]:
    parts: list[Any] = [part._c for part in module.modules()]
    return (part._get_method(name).graph for part in parts for name in part._method_names())


def _is_block(node: Any) -> bool:
    return bool(node.output().type().annotation_str == _NO_GRAD)


def _is_plain(use: Any) -> bool:
    return use.kind() in _USES and not any(output.uses() for output in use.outputs())
