"""The aten graph of one sample's function, and where in it parameters meet data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from eigengate.operators.subject import Subject

_aten = torch.ops.aten
# What they are given lends them its shape, not its numbers.
_ONLY_SHAPED: Final = frozenset(
    {
        _aten.zeros_like.default,
        _aten.ones_like.default,
        _aten.full_like.default,
        _aten.new_zeros.default,
        _aten.new_ones.default,
        _aten.new_full.default,
    }
)


@final
@dataclass(frozen=True)
class SampleGraph:
    """x ↦ f_θ(x) of one sample as a graph of aten operators.

    A value is *static* if no input of the network reaches it: a parameter, a constant, or what is computed of them.

    Attributes:
        module: Takes the parameters, then the inputs of one sample; returns f [C].
        names: The parameters in calling order.
        parameters: What every static value depends on: names of parameters, by node.
    """

    module: fx.GraphModule
    names: tuple[str, ...]
    parameters: dict[fx.Node, frozenset[str]]

    @classmethod
    def of(cls, subject: Subject) -> "SampleGraph":
        """Trace the function of one sample.

        Raises:
            RuntimeError, ModelExecutionError: the network's course depends on its data.
        """
        function, names = subject.sample_function(), tuple(subject.params)

        def flat(*values: Tensor) -> Tensor:
            return function(dict(zip(names, values, strict=False)), *values[len(names) :])

        sample = tuple(tensor[0] for tensor in subject.inputs)
        values = (*subject.params.values(), *sample)
        # Fused attention has no batching rule.
        with sdpa_kernel(SDPBackend.MATH):
            module = make_fx(flat)(*values)
            if any(_writes(node) for node in module.graph.nodes):
                module = make_fx(torch.func.functionalize(flat, remove="mutations"))(*values)
        module.graph.eliminate_dead_code()
        return cls(module, names, _parameters_of_static_values(module.graph, names))

    @property
    def output(self) -> fx.Node:
        """The value f."""
        (returned,) = self.module.graph.output_node().all_input_nodes
        return returned

    def is_static(self, node: fx.Node) -> bool:
        """Whether no input of the network reaches the value."""
        return node in self.parameters

    def meetings(self) -> Iterator[tuple[fx.Node, tuple[fx.Node, ...]]]:
        """Every operator that joins data with values made of parameters, and those values."""
        for node in self.module.graph.nodes:
            if node.op == "call_function" and not self.is_static(node):
                operands = tuple(operand for operand in node.all_input_nodes if self.parameters.get(operand))
                if operands:
                    yield node, operands


def shape_of(node: fx.Node) -> torch.Size:
    """The shape of a value, for one sample."""
    return torch.Size(node.meta["val"].shape)


def is_floating(node: fx.Node) -> bool:
    """Whether a value is a tensor of floating point numbers."""
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point()


def _writes(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def _parameters_of_static_values(graph: fx.Graph, names: tuple[str, ...]) -> dict[fx.Node, frozenset[str]]:
    known: dict[fx.Node, frozenset[str]] = {}
    placeholders: Iterator[Any] = iter(graph.find_nodes(op="placeholder"))
    for name, node in zip(names, placeholders, strict=False):
        known[node] = frozenset({name})
    for node in graph.nodes:
        if node.op in ("get_attr", "call_function") and all(operand in known for operand in node.all_input_nodes):
            shaped = node.target in _ONLY_SHAPED
            known[node] = frozenset().union(*(() if shaped else known[operand] for operand in node.all_input_nodes))
    return known
