"""One pass over the probe set that everything first-order is read from."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.operators.batches import batches
from eigengate.operators.subject import Subject
from eigengate.sweep.input_sweep import InputJacobians, sweep_inputs
from eigengate.sweep.progress import OnProgress, silent
from eigengate.sweep.tangent_kernel import TangentKernel, sweep_parameters

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
    inputs = kernel = None
    if "inputs" in parts and subject.x.is_floating_point():
        inputs = sweep_inputs(subject, C, memory_budget_bytes=memory_budget_bytes, on_progress=on_progress)
    if "parameters" in parts and subject.params:
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
