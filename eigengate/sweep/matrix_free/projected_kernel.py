"""The class-traced kernel from random projections of the outputs."""

from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.sweep.derivatives import sweep_traced
from eigengate.sweep.matrix_free.projections import random_signs
from eigengate.sweep.progress import OnProgress, silent
from eigengate.sweep.traced import Traced

_GROUPS: Final = 8  # independent estimates, enough for Student's t to be near the normal distribution


@final
@dataclass(frozen=True)
class ProjectedKernel:
    """Independent unbiased estimates of K and K_T, K_ij = E[⟨G_iᵀu, G_jᵀu⟩] over sign vectors u, float64.

    Each is positive semidefinite: the mean of products of a few projections.

    Attributes:
        traced: Estimates of K.
        scaled_traced: Of K_T, the parameters in units of their tensors' norms.
        num_passes: Backward passes made.
        dimension: P.
        products: The coarsest type in which products of gradients were formed.
    """

    traced: Float[Tensor, "g n n"]
    scaled_traced: Float[Tensor, "g n n"]
    num_passes: int
    dimension: int
    products: torch.dtype


def projected_kernel(
    traced: Traced, *, probes: int, memory_budget_bytes: int, generator: torch.Generator, on_progress: OnProgress
) -> ProjectedKernel:
    """From ``probes`` backward passes over all samples, rounded up to eight equal groups of them.

    Raises:
        BudgetExceededError: the gradients of one sample do not fit.
    """
    each = -(-probes // _GROUPS)
    found = []
    for group in range(_GROUPS):
        projection = random_signs(traced.outputs, each, generator).to(traced.subject.dtype)
        derivatives = sweep_traced(
            traced,
            projection,
            with_inputs=False,
            with_kernel=True,
            memory_budget_bytes=memory_budget_bytes,
            on_progress=silent,
        )
        assert derivatives.kernel is not None
        found.append(derivatives.kernel)
        on_progress("projections", group + 1, _GROUPS)
    exact = all(kernel.products == torch.float64 for kernel in found)
    return ProjectedKernel(
        torch.stack([kernel.traced / each for kernel in found]),
        torch.stack([kernel.scaled_traced / each for kernel in found]),
        each * _GROUPS,
        found[0].dimension,
        torch.float64 if exact else traced.subject.dtype,
    )
