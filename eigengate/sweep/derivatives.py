"""Input Jacobians and the tangent kernel of a traced network, from the same backward passes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from eigengate.sweep.collecting import Collected, OnPass, collect
from eigengate.sweep.filling import KernelFilling
from eigengate.sweep.input_sweep import InputJacobians, JacobianStore
from eigengate.sweep.parameter_group import ParameterGroup
from eigengate.sweep.plan import SweepPlan
from eigengate.sweep.progress import OnProgress
from eigengate.sweep.tangent_kernel import TangentKernel
from eigengate.sweep.traced import Traced


@final
@dataclass(frozen=True)
class Derivatives:
    """What a sweep over a traced network gives."""

    inputs: InputJacobians | None
    kernel: TangentKernel | None


def sweep_traced(
    traced: Traced,
    projection: Float[Tensor, "C m"],
    *,
    with_inputs: bool,
    with_kernel: bool,
    memory_budget_bytes: int,
    on_progress: OnProgress,
) -> Derivatives:
    """Those of x ↦ Uᵀf(x), U the projection: a backward pass for each of its columns, or as often as memory makes it.

    Raises:
        BudgetExceededError: the tangent kernel cannot be filled within the budget.
    """
    subject, outputs = traced.subject, projection.shape[1]
    groups = traced.groups if with_kernel else ()
    plan = SweepPlan.of(subject, outputs, groups, memory_budget_bytes=memory_budget_bytes)
    store = JacobianStore(subject, outputs, memory_budget_bytes) if with_inputs else None
    filling = KernelFilling(subject, outputs, memory_budget_bytes) if with_kernel else None
    on_pass = _counter(on_progress, plan.passes(outputs))
    for number, parameters in enumerate(plan.rounds):
        last = number == len(plan.rounds) - 1
        work = _Round(traced, projection, parameters, plan.tiles, on_pass)
        work.run(store if last else None, filling)
    return Derivatives(store.jacobians() if store else None, filling.finished() if filling else None)


@final
@dataclass(frozen=True)
class _Round:
    """Some parameters, for all pairs of tiles."""

    traced: Traced
    projection: Float[Tensor, "C m"]
    parameters: tuple[ParameterGroup, ...]
    tiles: tuple[Tensor, ...]
    on_pass: OnPass

    def run(self, store: JacobianStore | None, filling: KernelFilling | None) -> None:
        for place, rows in enumerate(self.tiles):
            own = self._collected(rows, with_inputs=store is not None)
            if store is not None and own.jacobians is not None:
                store.put(own.jacobians)
            if filling is not None:
                self._fill(filling, own, rows, self.tiles[place + 1 :])

    def _fill(self, filling: KernelFilling, own: Collected, rows: Tensor, behind: tuple[Tensor, ...]) -> None:
        filling.diagonal(own, rows)
        for others in behind:
            filling.beside(own, self._collected(others, with_inputs=False), rows, others)

    def _collected(self, rows: Tensor, *, with_inputs: bool) -> Collected:
        return collect(
            self.traced.subject,
            self.traced.graph,
            self.parameters,
            rows,
            projection=self.projection,
            with_inputs=with_inputs,
            on_pass=self.on_pass,
        )


def _counter(on_progress: OnProgress, total: int) -> Callable[[], None]:
    done = iter(range(1, total + 1))
    return lambda: on_progress("derivatives", next(done, total), total)
