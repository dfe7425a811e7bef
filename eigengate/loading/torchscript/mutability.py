"""What a graph may change while it runs: types of containers, and attributes of modules.

An alias of a list always has the list's static type, so that a list whose type no operator changes is a constant.
"""

from dataclasses import dataclass
from typing import Any, final

import torch

from eigengate.loading.torchscript.scalars import MUTATING
from eigengate.loading.torchscript.torch_graph import walk

_CONTAINERS = ("ListType", "DictType")


@final
@dataclass(frozen=True)
class Mutability:
    """The static types of the lists and dictionaries that change, and the names of the attributes that are assigned."""

    containers: frozenset[str]
    attributes: frozenset[str]

    def is_fixed(self, value: torch._C.Value) -> bool:
        """Whether a value stays what it is made as; tensors count as fixed, since they are looked after apart."""
        written = value.type().annotation_str
        # A type that holds the changing one, as Optional does, may be an alias of it too.
        return not any(changing in written for changing in self.containers) and (
            not self.containers or "Any" not in written
        )


def mutability(module: torch.jit.ScriptModule, graph: torch._C.Graph) -> Mutability:
    """Look through a graph and, where it calls methods by interface, through every method of the module."""
    nodes = list(walk(graph))
    if any(node.kind() == "prim::CallMethod" for node in nodes):
        nodes += [node for method in _methods(module) for node in walk(method.graph)]
    changed = (next(node.inputs()).type() for node in nodes if node.kind() in MUTATING)
    return Mutability(
        containers=frozenset(type_.annotation_str for type_ in changed if type_.kind() in _CONTAINERS),
        attributes=frozenset(node.s("name") for node in nodes if node.kind() == "prim::SetAttr"),
    )


def _methods(module: torch.jit.ScriptModule) -> list[Any]:
    parts: list[Any] = [part._c for part in module.modules()]
    return [part._get_method(name) for part in parts for name in part._method_names()]
