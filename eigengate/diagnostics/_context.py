"""One audit's shared state: what several diagnostics need is computed here, at most once."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.contract import AuditConfig
from eigengate.diagnostics._gauss_newton_gram import gauss_newton_gram, leading_directions
from eigengate.estimators.curvature import Curvature, dense_curvature, iterative_curvature
from eigengate.operators import DiagonalCongruence, HessianOperator, ParameterSpace, Subject
from eigengate.operators.batches import batches
from eigengate.sweep import OnProgress, Part, Spread, Sweep, TangentKernel, silent, sweep

DEFAULT_MEMORY_BUDGET: Final = 2 * 2**30
# Up to here the whole Hessian costs less than looking at its ends, trace and masses separately.
DENSE_HESSIAN: Final = 1500
_FROM_KERNEL: Final = frozenset({"parameter_jacobian", "ntk", "gauss_newton"})


@final
@dataclass(frozen=True)
class Context:
    """A subject, the configuration, and everything derived from them on first use.

    Attributes:
        subject: The network on its probe set.
        config: What the caller asked for.
        on_progress: Called with (stage, done, total) during long work.
    """

    subject: Subject
    config: AuditConfig
    on_progress: OnProgress = silent

    @property
    def memory_budget_bytes(self) -> int:
        """What chunk sizes are chosen for."""
        return self.config.memory_budget_bytes or DEFAULT_MEMORY_BUDGET

    def generator(self, stream: str) -> torch.Generator:
        """The random stream of that name under the configured seed, on the subject's device."""
        return self.subject.generator(self.config.seed, stream)

    @cached_property
    def space(self) -> ParameterSpace:
        """The order of the parameters in flat vectors."""
        return ParameterSpace.of(self.subject.params)

    @cached_property
    def units(self) -> Float[Tensor, " P"]:
        """The diagonal of T: each parameter's unit is the norm of its tensor."""
        return self.space.units(self.subject.params)

    @cached_property
    def sweep(self) -> Sweep:
        """Logits, and input Jacobians if they were asked for."""
        parts: frozenset[Part] = frozenset({"inputs"} if "input_jacobian" in self.config.quantities else {})
        return self._swept(parts)

    @cached_property
    def kernel(self) -> TangentKernel | None:
        """The tangent kernel; None for a network without parameters.

        Raises:
            BudgetExceededError: it cannot be filled within the memory budget.
        """
        return self._swept(frozenset({"parameters"})).kernel

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

    @cached_property
    def hessian(self) -> Curvature:
        """The spectrum of H."""
        if self._dense_hessian is not None:
            return dense_curvature(self._dense_hessian)
        return self._examined(scaled=False)

    @cached_property
    def relative_hessian(self) -> Curvature:
        """The spectrum of T H T."""
        if self._dense_hessian is not None:
            return dense_curvature(self.units.unsqueeze(1) * self._dense_hessian * self.units)
        return self._examined(scaled=True)

    @cached_property
    def hessian_operator(self) -> HessianOperator:
        return HessianOperator.of(
            self.subject, batches(self.subject, memory_budget_bytes=self.memory_budget_bytes // 4)
        )

    @cached_property
    def _dense_hessian(self) -> Tensor | None:
        return self.hessian_operator.materialize() if self.space.dimension <= DENSE_HESSIAN else None

    def _examined(self, *, scaled: bool) -> Curvature:
        operator, start = self.hessian_operator, self._leading_directions
        if start is not None and scaled:
            start = self.units.unsqueeze(1) * start
        return iterative_curvature(
            DiagonalCongruence(operator, self.units) if scaled else operator,
            start=start,
            accuracy=self.config.accuracy,
            memory_budget_bytes=self.memory_budget_bytes,
            generator=self.generator(f"curvature/{'relative' if scaled else 'plain'}"),
        )

    @cached_property
    def _leading_directions(self) -> Tensor | None:
        """Gauss-Newton eigenvectors, where the kernel is there anyway."""
        if not _FROM_KERNEL & set(self.config.quantities) or self.gauss_newton_gram is None:
            return None
        return leading_directions(self.subject, self.sweep.logits, self.gauss_newton_gram)

    def _swept(self, parts: frozenset[Part]) -> Sweep:
        return sweep(
            self.subject,
            memory_budget_bytes=self.memory_budget_bytes,
            on_progress=self.on_progress,
            parts=parts,
        )
