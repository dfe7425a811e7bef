"""First-order derivatives of networks with more outputs than backward passes are allowed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, final

import torch

from eigengate.estimators.sample_spectra import EstimatedSpectra, KrylovEffort
from eigengate.operators import Subject
from eigengate.operators.parameter_space import tensor_norms
from eigengate.sweep import OnProgress
from eigengate.sweep.matrix_free import ProjectedKernel, input_spectra, parameter_spectra, projected_kernel
from eigengate.sweep.traced import Traced

UNKNOWN: Final = "needs every singular value; there are too many outputs for a backward pass each"
UNRESOLVED: Final = "the smallest eigenvalues are below the noise of random projections"
# A product with J_i takes a backward pass and one through it, over all samples; the leading part converges in four or
# five steps where the spectrum decays at all.
_INPUTS: Final = KrylovEffort(block=4, tolerance=1e-2, steps=5, probes=8, depth=2)
# One with G_i takes twice that and the weights' gradients, so it has to do with less.
_PARAMETERS: Final = KrylovEffort(block=2, tolerance=1e-2, steps=4, probes=3, depth=2)
# Of G_i T only norms are reported, not the entropy that depth is for.
_SCALED: Final = KrylovEffort(block=2, tolerance=1e-2, steps=4, probes=3, depth=1)
_KERNEL_PROBES: Final = 24


@final
@dataclass(frozen=True)
class MatrixFree:
    """Estimates through products, each made on first use.

    Attributes:
        traced: The network.
        memory_budget_bytes: What batches are chosen for.
        generator_of: The random stream of a name.
        on_progress: Called with (stage, done, total).
    """

    traced: Traced
    memory_budget_bytes: int
    generator_of: Callable[[str], torch.Generator]
    on_progress: OnProgress

    @property
    def passes(self) -> int:
        """Backward passes over the whole probe set at most, those through a backward pass counted as one."""
        inputs = 2 * _INPUTS.products if self.subject.x.is_floating_point() else 0
        return inputs + 2 * (_PARAMETERS.products + _SCALED.products) + _KERNEL_PROBES

    @property
    def subject(self) -> Subject:
        return self.traced.subject

    @cached_property
    def inputs(self) -> EstimatedSpectra:
        """Of every J_i."""
        return input_spectra(
            self.traced,
            _INPUTS,
            memory_budget_bytes=self.memory_budget_bytes,
            generator=self.generator_of("matrix_free/inputs"),
            on_progress=self.on_progress,
        )

    @cached_property
    def parameters(self) -> EstimatedSpectra:
        """Of every G_i."""
        return self._parameters(dict.fromkeys(self.subject.params, 1.0), _PARAMETERS, "plain")

    @cached_property
    def scaled_parameters(self) -> EstimatedSpectra:
        """Of every G_i T."""
        squares = {name: float(norm) ** 2 for name, norm in tensor_norms(self.subject.params).items()}
        return self._parameters(squares, _SCALED, "scaled")

    @cached_property
    def kernel(self) -> ProjectedKernel:
        """Of K and K_T.

        Raises:
            BudgetExceededError: the gradients of one sample do not fit into the memory budget.
        """
        return projected_kernel(
            self.traced,
            probes=_KERNEL_PROBES,
            memory_budget_bytes=self.memory_budget_bytes,
            generator=self.generator_of("matrix_free/kernel"),
            on_progress=self.on_progress,
        )

    def _parameters(self, scales: dict[str, float], effort: KrylovEffort, stream: str) -> EstimatedSpectra:
        return parameter_spectra(
            self.traced,
            scales,
            effort,
            generator=self.generator_of(f"matrix_free/parameters/{stream}"),
            on_progress=self.on_progress,
        )


def krylov_method(spectra: EstimatedSpectra, operator: str) -> str:
    """How they were made."""
    return (
        f"block Golub-Kahan with {spectra.num_products} products by {operator} and its adjoint per sample, "
        f"{spectra.total.left_out.shape[1]} random probes for what it leaves"
    )
