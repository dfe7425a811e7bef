"""One pass over the probe set that everything first-order is read from."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.operators.batches import batches
from eigengate.operators.subject import Subject
from eigengate.sweep.derivatives import sweep_traced
from eigengate.sweep.input_sweep import InputJacobians, sweep_inputs
from eigengate.sweep.progress import OnProgress, silent
from eigengate.sweep.sample_by_sample import sweep_parameters
from eigengate.sweep.tangent_kernel import TangentKernel
from eigengate.sweep.traced import Traced

Part = Literal["inputs", "parameters"]
ALL_PARTS: frozenset[Part] = frozenset({"inputs", "parameters"})


@final
@dataclass(frozen=True)
class Sweep:
    """Logits [n, C], and the parts that were asked for and exist."""

    logits: Float[Tensor, "n C"]
    inputs: InputJacobians | None
    kernel: TangentKernel | None


def sweep(
    subject: Subject,
    *,
    memory_budget_bytes: int,
    on_progress: OnProgress = silent,
    parts: AbstractSet[Part] = ALL_PARTS,
) -> Sweep:
    """Logits, input Jacobians and tangent kernel of a subject.

    Args:
        subject: The network on its probe set.
        memory_budget_bytes: What batches and tiles are chosen for; the results come on top of it.
        on_progress: Called with (stage, done, total).
        parts: What is wanted besides the logits. Integer inputs have no Jacobian, a network without parameters has no
            kernel.

    Raises:
        BudgetExceededError: the tangent kernel cannot be filled within the budget.
    """
    logits = forward(subject, memory_budget_bytes=memory_budget_bytes)
    C = logits.shape[1]
    with_inputs = "inputs" in parts and subject.x.is_floating_point()
    with_kernel = "parameters" in parts and bool(subject.params)
    if not (with_inputs or with_kernel):
        return Sweep(logits, None, None)
    traced = Traced.of(subject)
    if traced is not None:
        found = sweep_traced(
            traced,
            torch.eye(C, dtype=subject.dtype, device=subject.x.device),
            with_inputs=with_inputs,
            with_kernel=with_kernel,
            memory_budget_bytes=memory_budget_bytes,
            on_progress=on_progress,
        )
        return Sweep(logits, found.inputs, found.kernel)
    inputs = kernel = None
    if with_inputs:
        inputs = sweep_inputs(subject, C, memory_budget_bytes=memory_budget_bytes, on_progress=on_progress)
    if with_kernel:
        kernel = sweep_parameters(subject, C, memory_budget_bytes=memory_budget_bytes, on_progress=on_progress)
    return Sweep(logits, inputs, kernel)


def forward(subject: Subject, *, memory_budget_bytes: int) -> Float[Tensor, "n C"]:
    """f(x_i) for the whole probe set, without derivatives."""
    with torch.no_grad():
        parts = [
            subject.outputs_of(rows)(subject.params, subject.x[rows])
            for rows in batches(subject, memory_budget_bytes=memory_budget_bytes)
        ]
    return torch.cat(parts)
