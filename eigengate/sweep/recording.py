"""One forward pass over a batch of samples, ready to be pulled back output by output."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, fx

from eigengate.operators.subject import Subject
from eigengate.sweep.evaluated_norm import spell_out_evaluated_norms
from eigengate.sweep.quiet import quiet
from eigengate.sweep.sample_graph import SampleGraph, shape_of
from eigengate.sweep.uses import Use


@final
@dataclass(frozen=True)
class Recording:
    """f(x_i) of some samples with everything their derivatives are read from.

    Zeros are added to every result through which parameters act; what reaches those zeros in a backward pass are the
    cotangents there.

    Attributes:
        f: The outputs.
        x: The differentiable input, a leaf.
        zeros: A leaf [n, ...] for every tapped value.
        values: Values [n, ...] of the graph that were asked for.
    """

    f: Float[Tensor, "n C"]
    x: Tensor
    zeros: dict[fx.Node, Tensor]
    values: dict[fx.Node, Any]

    @classmethod
    def of(cls, subject: Subject, graph: SampleGraph, uses: Iterable[Use], rows: Tensor) -> "Recording":
        """Run the graph over rows of the probe set under ``vmap``: no sample sees another."""
        uses = tuple(uses)
        tapped = tuple(dict.fromkeys(result for use in uses for result in use.results))
        wanted = tuple(dict.fromkeys(value for use in uses for value in use.wanted))
        module = _tapped(graph, tapped, wanted)
        inputs = [tensor[rows].detach() for tensor in subject.inputs]
        x = inputs[subject.position]
        x = x.requires_grad_() if x.is_floating_point() else x
        zeros = [_zeros(result, len(rows)) for result in tapped]
        params = tuple(subject.params.values())
        axes = (*[None] * len(params), *[0] * (len(inputs) + len(zeros)))
        with torch.enable_grad(), quiet():
            f, values = torch.vmap(module, in_dims=axes)(*params, *inputs, *zeros)
        kept = dict(zip(wanted, (value.detach() for value in values), strict=True))
        return cls(f.reshape(len(rows), -1), x, dict(zip(tapped, zeros, strict=True)), kept)

    def pull(self, cotangent: Float[Tensor, " C"], leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """∂⟨u, f⟩/∂leaf for every sample [n, ...], u the cotangent."""
        u = cotangent.to(self.f.dtype).expand_as(self.f)
        found = torch.autograd.grad(self.f, leaves, u, retain_graph=True, allow_unused=True)
        return tuple(torch.zeros_like(leaf) if part is None else part for leaf, part in zip(leaves, found, strict=True))


def _zeros(result: fx.Node, samples: int) -> Tensor:
    value = result.meta["val"]
    nothing = torch.zeros((), dtype=value.dtype, device=value.device)
    return nothing.expand(samples, *shape_of(result)).requires_grad_()


def _everyone_but(one: fx.Node) -> Callable[[fx.Node], bool]:
    return lambda user: user is not one


def _tapped(graph: SampleGraph, tapped: Sequence[fx.Node], wanted: Sequence[fx.Node]) -> fx.GraphModule:
    """The graph with zeros to be added to some values, returning f and the wanted values."""
    copy, places = fx.Graph(), dict[fx.Node, fx.Node]()
    copy.graph_copy(graph.module.graph, places)
    replaced = spell_out_evaluated_norms(copy)
    places = {node: replaced.get(place, place) for node, place in places.items()}
    last = list(copy.find_nodes(op="placeholder"))[-1]
    for number, result in enumerate(tapped):
        with copy.inserting_after(last):
            last = copy.placeholder(f"tap_{number}")
        place = places[result]
        with copy.inserting_after(place):
            moved = copy.call_function(torch.ops.aten.add.Tensor, (place, last))
        place.replace_all_uses_with(moved, delete_user_cb=_everyone_but(moved))
        places[result] = moved
    copy.output((places[graph.output], tuple(places[node] for node in wanted)))
    return fx.GraphModule(graph.module, copy)
