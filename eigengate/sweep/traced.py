"""A network that can be swept through its graph."""

from dataclasses import dataclass
from typing import final

import torch

from eigengate.operators.differentiation import MISSING_RULE
from eigengate.operators.subject import Subject
from eigengate.refused_allocation import let_refused_allocations_through
from eigengate.sweep.collecting import collect
from eigengate.sweep.parameter_group import ParameterGroup, parameter_groups
from eigengate.sweep.sample_graph import SampleGraph, shape_of


@final
@dataclass(frozen=True)
class Traced:
    """A subject, the graph of one of its samples, and its parameters where they act."""

    subject: Subject
    graph: SampleGraph
    groups: tuple[ParameterGroup, ...]

    @classmethod
    def of(cls, subject: Subject) -> "Traced | None":
        """None unless one sample goes all the way through the graph and back."""
        if subject.model.batching is not None and subject.model.batching.by_value:
            return None
        try:
            graph = SampleGraph.of(subject)
            if graph.is_static(graph.output):
                return None
            traced = cls(subject, graph, parameter_groups(graph))
            traced.try_out()
        except MISSING_RULE as error:
            let_refused_allocations_through(error)
            return None
        return traced

    @property
    def outputs(self) -> int:
        """C."""
        return shape_of(self.graph.output).numel()

    def try_out(self) -> None:
        """One output of the first sample, by every parameter."""
        first = torch.arange(1, device=self.subject.x.device)
        output = torch.eye(self.outputs, 1, dtype=self.subject.dtype, device=self.subject.x.device)
        with_inputs = self.subject.x.is_floating_point()
        collected = collect(
            self.subject, self.graph, self.groups, first, projection=output, with_inputs=with_inputs, on_pass=_ignore
        )
        for _ in collected.gradients():
            pass


def _ignore() -> None:
    pass
