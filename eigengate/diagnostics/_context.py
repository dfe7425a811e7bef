"""One audit's shared state: what several diagnostics need is computed here, at most once."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.contract import AuditConfig
from eigengate.diagnostics._gauss_newton_gram import gauss_newton_gram, gauss_newton_trace, leading_direction
from eigengate.diagnostics._matrix_free import MatrixFree
from eigengate.errors import BudgetExceededError
from eigengate.estimators import SpectralMeasure, block_trace
from eigengate.estimators.curvature import (
    Bounded,
    Curvature,
    bounded_by,
    dense_curvature,
    iterative_curvature,
    quadrature,
)
from eigengate.estimators.estimate import estimated_from
from eigengate.operators import (
    DiagonalCongruence,
    DifferenceOperator,
    GaussNewtonOperator,
    HessianOperator,
    LinearOperator,
    ParameterSpace,
    Subject,
)
from eigengate.operators.batches import batches
from eigengate.planning import DEFAULT_MEMORY_BUDGET, Plan, Workload, measured_throughput, plan
from eigengate.sweep import OnProgress, Part, Spread, Sweep, TangentKernel, silent, sweep
from eigengate.sweep.traced import Traced

# Times the number of tensors: two tell a rest that is zero from one that is not.
_TRACE_SAMPLES: Final = 2
_FROM_KERNEL: Final = frozenset({"parameter_jacobian", "ntk", "gauss_newton"})


@final
@dataclass(frozen=True)
class _FirstOrder:
    """A sweep, and why it has no kernel where it was refused one."""

    sweep: Sweep
    refusal: BudgetExceededError | None = None


@final
@dataclass(frozen=True)
class Context:
    """A subject, the configuration, and everything derived from them on first use.

    Attributes:
        subject: The network on its probe set.
        config: What the caller asked for.
        on_progress: Called with (stage, done, total) during long work.
        memory_divisor: What the memory budget is divided by, since memory ran out before.
        decided: The plan, where it was made before.
    """

    subject: Subject
    config: AuditConfig
    on_progress: OnProgress = silent
    memory_divisor: int = 1
    decided: Plan | None = None

    def afresh(self) -> "Context":
        """The same plan, and nothing of what was computed so far."""
        return replace(self, decided=self.plan)

    def with_less_memory(self) -> "Context":
        """The same within half the memory budget."""
        return replace(self.afresh(), memory_divisor=2 * self.memory_divisor)

    @cached_property
    def plan(self) -> Plan:
        """Which route every quantity takes."""
        if self.decided is not None:
            return self.decided
        workload = Workload.of(self.subject)
        timed = self.config.time_budget_s is not None
        return plan(workload, self.config, measured_throughput(self.subject, workload) if timed else None)

    @cached_property
    def attributed(self) -> Subject:
        """The first samples, as many as the plan lets attributions be made for."""
        m, subject = self.plan.attributed, self.subject
        return replace(subject, inputs=tuple(tensor[:m] for tensor in subject.inputs), y=subject.y[:m])

    @property
    def memory_budget_bytes(self) -> int:
        """What chunk sizes are chosen for."""
        return (self.config.memory_budget_bytes or DEFAULT_MEMORY_BUDGET) // self.memory_divisor

    def generator(self, stream: str) -> torch.Generator:
        """The random stream of that name under the configured seed, on the subject's device."""
        return self.subject.generator(self.config.seed, stream)

    def watched(self, work: str) -> Callable[[int, int], None]:
        """Who is told how many steps of a piece of work are done."""
        return lambda done, total: self.on_progress(work, done, total)

    @cached_property
    def space(self) -> ParameterSpace:
        """The order of the parameters in flat vectors."""
        return ParameterSpace.of(self.subject.params)

    @cached_property
    def units(self) -> Float[Tensor, " P"]:
        """The diagonal of T: each parameter's unit is the norm of its tensor."""
        return self.space.units(self.subject.params)

    @property
    def sweep(self) -> Sweep:
        """Logits, and input Jacobians if they were asked for."""
        return self._first_order.sweep

    @cached_property
    def kernel(self) -> TangentKernel | None:
        """The tangent kernel; None for a network without parameters.

        Raises:
            BudgetExceededError: it cannot be filled within the memory budget.
        """
        if self._first_order.refusal is not None:
            raise self._first_order.refusal
        if self.sweep.kernel is None:
            return self._swept(frozenset({"parameters"})).kernel
        return self.sweep.kernel

    @cached_property
    def matrix_free(self) -> MatrixFree | None:
        """Jacobians and kernel through products; None where the plan has a backward pass for every output.

        What cannot be traced cannot be multiplied with many samples at once, so its outputs are pulled back after all.
        """
        if self.plan.exact_sweep or (traced := Traced.of(self.subject)) is None:
            return None
        return MatrixFree(traced, self.memory_budget_bytes, self.generator, self.on_progress)

    @cached_property
    def _first_order(self) -> "_FirstOrder":
        """Everything asked for from the same backward passes."""
        if self.matrix_free is not None:
            return _FirstOrder(self._swept(frozenset()), _too_many_outputs(self.matrix_free))
        wanted = set(self.config.quantities)
        parts: set[Part] = {"inputs"} if "input_jacobian" in wanted else set()
        try:
            return _FirstOrder(self._swept(frozenset({*parts, "parameters"} if _FROM_KERNEL & wanted else parts)))
        except BudgetExceededError as error:
            return _FirstOrder(self._swept(frozenset(parts)), error)

    @cached_property
    def input_spread(self) -> Spread:
        """δ_x."""
        return Spread.of(self.subject.x)

    @cached_property
    def output_spread(self) -> Spread:
        """δ_f."""
        return Spread.of(self.sweep.logits)

    @cached_property
    def gauss_newton_gram(self) -> Float[Tensor, "nC nC"] | None:
        """(1/n) L^½ Θ L^½, whose nonzero eigenvalues are those of the Gauss-Newton matrix; None where Θ is not kept."""
        if self.kernel is None or self.kernel.full is None:
            return None
        return gauss_newton_gram(self.subject, self.sweep.logits, self.kernel.full)

    @property
    def gauss_newton_trace(self) -> Bounded | None:
        """From the kernel's diagonal blocks; None where there is no kernel within the budget."""
        if self._available_kernel is None:
            return None
        trace = gauss_newton_trace(self.subject, self.sweep.logits, self._available_kernel.blocks)
        return bounded_by(estimated_from(trace, 0.0, 0.0, 0), "(1/n) Σ ⟨L_i, G_i G_iᵀ⟩")

    @cached_property
    def hessian(self) -> Curvature:
        """The spectrum of H."""
        if self.dense_hessian is not None:
            return dense_curvature(self.dense_hessian)
        return self._examined(
            self.hessian_operator,
            stream="plain",
            start=self._start,
            quadrature=quadrature(
                self.hessian_operator,
                self.generator("quadrature/hessian"),
                self.watched("hessian_quadrature"),
                self.plan.hessian,
                memory_budget_bytes=self.memory_budget_bytes,
            ),
        )

    @cached_property
    def relative_hessian(self) -> Curvature:
        """The spectrum of T H T."""
        if self.dense_hessian is not None:
            return dense_curvature(self.units.unsqueeze(1) * self.dense_hessian * self.units)
        return self._examined(
            DiagonalCongruence(self.hessian_operator, self.units),
            stream="relative",
            start=self.units * self._start,
            quadrature=None,
        )

    @cached_property
    def hessian_operator(self) -> HessianOperator:
        return HessianOperator.of(
            self.subject, batches(self.subject, memory_budget_bytes=self.memory_budget_bytes // 2)
        )

    @cached_property
    def dense_hessian(self) -> Tensor | None:
        """H written out, where the plan says so."""
        # Differences of the gradient have an error, which products carry and a matrix would not.
        whole = self.plan.dense_hessian and self.hessian_operator.mode != "difference"
        return self.hessian_operator.materialize() if whole else None

    def _examined(
        self, operator: LinearOperator, *, stream: str, start: Tensor, quadrature: SpectralMeasure | None
    ) -> Curvature:
        return iterative_curvature(
            operator,
            start=start,
            trace=self._hessian_trace(scaled=stream == "relative"),
            quadrature=quadrature,
            memory_budget_bytes=self.memory_budget_bytes,
            generator=self.generator(f"curvature/{stream}"),
            effort=self.plan.hessian,
        )

    @cached_property
    def _available_kernel(self) -> TangentKernel | None:
        """The kernel, where another quantity needs it anyway and it fits into the budget."""
        try:
            return self.kernel if _FROM_KERNEL & set(self.config.quantities) else None
        except BudgetExceededError:
            return None

    @cached_property
    def _start(self) -> Float[Tensor, " P"]:
        """The leading Gauss-Newton eigenvector, close to the Hessian's, where there is a kernel; else the gradient."""
        if self._available_kernel is not None and self.gauss_newton_gram is not None:
            direction = leading_direction(self.subject, self.sweep.logits, self.gauss_newton_gram)
            if direction is not None:
                return direction
        return self.hessian_operator.gradient

    def _hessian_trace(self, *, scaled: bool) -> Bounded | None:
        """The Gauss-Newton trace, exact from the kernel, plus that of the rest of H, tensor by tensor.

        It is all of it where the network is piecewise linear in every tensor. None where it is not, so that the probes
        of the rest say less than as many products with H would.
        """
        kernel, hessian = self._available_kernel, self.hessian_operator
        affordable = 2 * _TRACE_SAMPLES * len(self.space.shapes) <= 2 * self.plan.hessian.trace
        if kernel is None or hessian.mode == "difference" or not affordable:
            return None
        known = gauss_newton_trace(self.subject, self.sweep.logits, kernel.scaled_blocks if scaled else kernel.blocks)
        rest: LinearOperator = DifferenceOperator(hessian, GaussNewtonOperator.of(self.subject, hessian.batches))
        estimate = block_trace(
            DiagonalCongruence(rest, self.units) if scaled else rest,
            sizes=list(self.space.sizes.values()),
            num_samples=_TRACE_SAMPLES,
            generator=self.generator(f"trace/{'relative' if scaled else 'plain'}"),
        )
        if not estimate.stderr <= self.config.accuracy * abs(known + estimate.value):
            return None
        method = f"Gauss-Newton part from the kernel, the rest by {estimate.num_products} products tensor by tensor"
        return bounded_by(replace(estimate, value=known + estimate.value), method)

    def _swept(self, parts: frozenset[Part]) -> Sweep:
        return sweep(
            self.subject,
            memory_budget_bytes=self.memory_budget_bytes,
            on_progress=self.on_progress,
            parts=parts,
        )


def _too_many_outputs(instead: MatrixFree) -> BudgetExceededError:
    C = instead.traced.outputs
    return BudgetExceededError(
        f"{C} backward passes, one for every output, are more than the plan allows; estimates take {instead.passes}",
        hint="raise time_budget_s",
    )
