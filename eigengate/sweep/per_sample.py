"""Jacobians of single samples, many samples at a time."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.loading.autodiff import vjp
from eigengate.operators.differentiation import MISSING_RULE
from eigengate.operators.subject import Subject
from eigengate.refused_allocation import let_refused_allocations_through

PullBack = Callable[[Tensor], tuple[Tensor, ...]]
RowMap = Callable[[PullBack, Tensor], tuple[Tensor, ...]]
SampleJacobian = Callable[[RowMap, tuple[Tensor, ...]], tuple[Tensor, ...]]


def input_jacobians(subject: Subject, rows: Tensor, outputs: int) -> Float[Tensor, "m C d"]:
    """J_i = ∂f(x_i)/∂x for the given rows of the probe set, the input flattened."""
    function, at = subject.sample_function(), subject.position

    def jacobian(each_row: RowMap, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        _, pull = vjp(lambda x: function(subject.params, *inputs[:at], x, *inputs[at + 1 :]), inputs[at])
        return each_row(lambda u: (pull(u),), _basis(subject, outputs))

    (J,) = _over_samples(jacobian, tuple(tensor[rows] for tensor in subject.inputs))
    return J.reshape(*J.shape[:2], -1)


def parameter_jacobians(
    subject: Subject, rows: Tensor, outputs: int, names: Sequence[str]
) -> tuple[Float[Tensor, "m C P_l"], ...]:
    """G_i = ∂f(x_i)/∂θ_l for the given rows of the probe set and parameter tensors, each tensor flattened."""
    function, params = subject.sample_function(), subject.params
    chosen = {name: params[name] for name in names}

    def jacobian(each_row: RowMap, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        _, pull = vjp(lambda part: function({**params, **part}, *inputs), chosen)
        return each_row(lambda u: tuple(pull(u).values()), _basis(subject, outputs))

    blocks = _over_samples(jacobian, tuple(tensor[rows] for tensor in subject.inputs))
    # Not flatten(2): a learned temperature is a tensor without dimensions.
    return tuple(block.reshape(*block.shape[:2], -1) for block in blocks)


def _basis(subject: Subject, outputs: int) -> Tensor:
    return torch.eye(outputs, dtype=subject.dtype, device=subject.x.device)


def _over_samples(jacobian: SampleJacobian, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The Jacobian of every sample alone, under vmap; one by one where an operator has no batching rule.

    Mapping over samples is right whatever the network does: no sample sees another, so nothing has to be assumed about
    the independence of the rows of a batch.
    """
    try:
        return torch.vmap(lambda *sample: jacobian(_vectorized, sample))(*inputs)
    except MISSING_RULE as error:
        let_refused_allocations_through(error)
        singles = [jacobian(_one_by_one, sample) for sample in zip(*inputs, strict=True)]
        return tuple(torch.stack(parts) for parts in zip(*singles, strict=True))


def _vectorized(pull: PullBack, cotangents: Tensor) -> tuple[Tensor, ...]:
    return torch.vmap(pull)(cotangents)


def _one_by_one(pull: PullBack, cotangents: Tensor) -> tuple[Tensor, ...]:
    rows = [pull(cotangent) for cotangent in cotangents]
    return tuple(torch.stack(parts) for parts in zip(*rows, strict=True))
