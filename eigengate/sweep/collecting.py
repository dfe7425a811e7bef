"""Gradients of a batch of samples by parameters, and rows of their input Jacobians, from C backward passes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.operators.subject import Subject
from eigengate.sweep.gradients import Gradients
from eigengate.sweep.parameter_group import ParameterGroup
from eigengate.sweep.recording import Recording
from eigengate.sweep.sample_graph import SampleGraph
from eigengate.sweep.uses import Collector, Use

OnPass = Callable[[], None]


@final
@dataclass(frozen=True)
class Collected:
    """What backward passes over one batch of samples left behind.

    Attributes:
        subject: The network on its probe set.
        graph: Its graph.
        groups: The parameters asked for.
        collectors: What has gathered, one per use, in order.
        jacobians: J_i, the input flattened, where they were asked for.
    """

    subject: Subject
    graph: SampleGraph
    groups: tuple[ParameterGroup, ...]
    collectors: tuple[Collector, ...]
    jacobians: Float[Tensor, "n C d"] | None

    def gradients(self) -> Iterator[tuple[str, Gradients]]:
        """By parameter, one after the other: what is only needed for one of them is made and dropped in turn."""
        left, params = iter(self.collectors), self.subject.params
        for group in self.groups:
            with torch.no_grad():
                found = group.gradients([next(left).gradients() for _ in group.uses], self.graph, params)
            yield from found.items()


def collect(
    subject: Subject,
    graph: SampleGraph,
    groups: Sequence[ParameterGroup],
    rows: Tensor,
    *,
    projection: Float[Tensor, "C m"],
    with_inputs: bool,
    on_pass: OnPass,
) -> Collected:
    """Pull back to the uses of the given parameters, and to the input if wanted.

    The network that is collected from is x ↦ Uᵀf(x), U the projection: the columns of the identity for f itself.
    """
    uses = [use for group in groups for use in group.uses]
    recording = Recording.of(subject, graph, uses, rows)
    n, C = len(rows), projection.shape[1]
    collectors = [use.collector([recording.values[node] for node in use.wanted], n, C) for use in uses]
    leaves = [recording.zeros[result] for use in uses for result in use.results]
    leaves += [recording.x] if with_inputs else []
    J = recording.x.new_empty(n, C, recording.x[0].numel()) if with_inputs else None
    for place, cotangent in enumerate(projection.unbind(1)):
        found = recording.pull(cotangent, leaves)
        _hand_out(place, found, uses, collectors)
        if J is not None:
            J[:, place] = found[-1].flatten(1)
        on_pass()
    return Collected(subject, graph, tuple(groups), tuple(collectors), J)


def _hand_out(output: int, found: Sequence[Tensor], uses: Sequence[Use], collectors: Sequence[Collector]) -> None:
    left = iter(found)
    for use, collector in zip(uses, collectors, strict=True):
        collector.take(output, [next(left) for _ in use.results])
