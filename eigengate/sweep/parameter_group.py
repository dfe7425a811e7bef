"""Parameters whose gradients have to be made together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from eigengate.sweep.expression import Expression
from eigengate.sweep.gradients import GradientRows, Gradients
from eigengate.sweep.sample_graph import SampleGraph
from eigengate.sweep.uses import Use, use_of


@final
@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share an expression, and every use of any of them: their contributions add before the product.

    Attributes:
        names: The parameters.
        uses: In the order of the graph.
        expressions: What each use takes, made of the parameters.
    """

    names: frozenset[str]
    uses: tuple[Use, ...]
    expressions: tuple[Expression, ...]

    @property
    def keeps_form(self) -> bool:
        """Whether all uses take one reordering of one parameter, so that their gradients need not be written out."""
        same = len({expression.layout for expression in self.expressions}) == 1
        return same and all(expression.is_reordering for expression in self.expressions)

    @property
    def floats(self) -> int:
        """Numbers kept for each sample and output."""
        kept = sum(use.floats for use in self.uses)
        return kept if self.keeps_form else kept + 2 * sum(use.operand.meta["val"].numel() for use in self.uses)

    def gradients(
        self, collected: Sequence[Gradients], graph: SampleGraph, params: Mapping[str, Tensor]
    ) -> dict[str, Gradients]:
        """Those by every parameter, from those by the expressions, in the order of the uses."""
        if self.keeps_form and len({type(part) for part in collected}) == 1:
            joined = collected[0] if len(collected) == 1 else type(collected[0]).joined(collected)
            if joined is not None:
                return {next(iter(self.names)): joined}
        sums: dict[str, Tensor] = {}
        for expression, part in zip(self.expressions, collected, strict=True):
            dense = part.dense()
            pulled = expression.pull_back(graph.module, params, dense.flatten(0, 1))
            for name, rows in pulled.items():
                rows = rows.reshape(*dense.shape[:2], -1)
                sums[name] = sums[name] + rows if name in sums else rows
        return {name: GradientRows(rows) for name, rows in sums.items()}


def parameter_groups(graph: SampleGraph) -> tuple[ParameterGroup, ...]:
    """All parameters that act on the output, in groups as small as may be, in the order of their first use."""
    groups: list[ParameterGroup] = []
    for node, operands in graph.meetings():
        for operand in operands:
            if not torch.is_floating_point(operand.meta["val"]) or not use_of(node, operand).results:
                continue
            merged = ParameterGroup(
                graph.parameters[operand], (use_of(node, operand),), (Expression.of(graph, operand),)
            )
            for group in [group for group in groups if group.names & merged.names]:
                groups.remove(group)
                merged = ParameterGroup(
                    group.names | merged.names, group.uses + merged.uses, group.expressions + merged.expressions
                )
            groups.append(merged)
    return tuple(groups)
