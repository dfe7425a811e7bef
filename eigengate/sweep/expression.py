"""What a network makes of its parameters before they meet data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from torch import Tensor, fx

from eigengate.loading.autodiff import vjp
from eigengate.sweep.quiet import quiet
from eigengate.sweep.sample_graph import SampleGraph

_aten = torch.ops.aten
# Each of them gives every entry a place of its own: sums of squares and products stay what they are.
_REORDERINGS: Final = frozenset(
    {
        _aten.t.default,
        _aten.transpose.int,
        _aten.permute.default,
        _aten.view.default,
        _aten.reshape.default,
        _aten._unsafe_view.default,
        _aten.unsqueeze.default,
        _aten.squeeze.default,
        _aten.squeeze.dim,
        _aten.squeeze.dims,
        _aten.clone.default,
        _aten.alias.default,
        _aten.detach.default,
    }
)


@final
@dataclass(frozen=True)
class Expression:
    """A static value W' = h(θ).

    Attributes:
        node: Its place in the graph.
        steps: The operators of h, operands before results.
        parameters: Names of the parameters it is made of, by placeholder.
    """

    node: fx.Node
    steps: tuple[fx.Node, ...]
    parameters: Mapping[fx.Node, str]

    @classmethod
    def of(cls, graph: SampleGraph, node: fx.Node) -> "Expression":
        """The expression that makes a static value."""
        needed, waiting = {node}, [node]
        while waiting:
            fresh = [operand for operand in waiting.pop().all_input_nodes if operand not in needed]
            needed.update(fresh)
            waiting += fresh
        steps = tuple(step for step in graph.module.graph.nodes if step in needed)
        placeholders = {step: next(iter(graph.parameters[step])) for step in steps if step.op == "placeholder"}
        return cls(node, tuple(step for step in steps if step not in placeholders), placeholders)

    @property
    def is_reordering(self) -> bool:
        """Whether W' holds the entries of one parameter, each once."""
        return len(self.parameters) == 1 and all(step.target in _REORDERINGS for step in self.steps)

    @property
    def layout(self) -> tuple[object, ...]:
        """Two reorderings of one layout put the entries of a parameter into the same places."""
        return tuple((step.target, str(step.args[1:])) for step in self.steps)

    def function(self, module: fx.GraphModule) -> Callable[[Mapping[str, Tensor]], Tensor]:
        """h, from parameters by name to W'."""

        def evaluate(params: Mapping[str, Tensor]) -> Tensor:
            values: dict[fx.Node, Any] = {node: params[name] for node, name in self.parameters.items()}
            for step in self.steps:
                values[step] = evaluated(step, module, values)
            result: Tensor = values[self.node]
            return result

        return evaluate

    def pull_back(self, module: fx.GraphModule, params: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
        """Cotangents [m, entries of W'] carried to the parameters: [m, P_l] by name."""
        own = {name: params[name] for name in self.parameters.values()}
        value, pull = vjp(self.function(module), own)
        with quiet():
            found = torch.vmap(pull)(rows.reshape(-1, *value.shape))
        return {name: found[name].reshape(len(rows), -1) for name in own}


def evaluated(step: fx.Node, module: fx.GraphModule, values: Mapping[fx.Node, Any]) -> Any:
    """The value of one node, given those of its operands."""
    if step.op == "get_attr":
        return getattr(module, str(step.target))
    assert callable(step.target)
    args, kwargs = fx.node.map_arg((step.args, step.kwargs), lambda node: values[node])
    return step.target(*args, **kwargs)
