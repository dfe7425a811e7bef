"""A refused allocation is recognised, and never taken for an operator that lacks something."""

import pytest
import torch
from torch import nn

import eigengate
from eigengate.errors import BudgetExceededError, MemoryExhaustedError, ModelExecutionError
from eigengate.operators import HessianOperator
from eigengate.operators.differentiation import columnwise, derivative_mode
from eigengate.refused_allocation import is_refused_allocation
from eigengate.sweep.per_sample import input_jacobians
from eigengate.sweep.traced import Traced
from support import exported_networks
from support.full_memory import REFUSED_BY_CPU, REFUSED_BY_GPU, FullMemory
from support.lenet import exported
from tests.support.subjects import normal, small_subject


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(REFUSED_BY_GPU),
        torch.OutOfMemoryError(),
        RuntimeError(REFUSED_BY_CPU),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("could not create a primitive"),
        MemoryError(),
        MemoryExhaustedError("somewhere"),
    ],
)
def test_whoever_refuses_is_understood(error):
    assert is_refused_allocation(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("derivative for aten::foo is not implemented"),
        BudgetExceededError("more than there is room for in the memory budget of 1,048,576 bytes"),
        ModelExecutionError("shapes cannot be multiplied"),
        IndexError("index 3 is out of range"),
        RuntimeError("could not create a primitive descriptor for a convolution forward propagation primitive"),
    ],
)
def test_what_is_no_lack_of_memory_is_not_taken_for_one(error):
    assert not is_refused_allocation(error)


def refuse(*arguments: object, **named: object) -> torch.Tensor:
    raise torch.OutOfMemoryError(REFUSED_BY_GPU)


def in_small_subject(monkeypatch):
    subject = small_subject("mlp")
    monkeypatch.setattr(type(subject.model.program), "__call__", refuse)
    return subject


@pytest.mark.parametrize(
    "route",
    [
        lambda subject: HessianOperator.of(subject),
        lambda subject: Traced.of(subject),
        lambda subject: input_jacobians(subject, torch.arange(2), 3),
        lambda subject: subject.model.settled(*subject.inputs),
        lambda subject: derivative_mode(refuse, normal(3)),
        lambda subject: columnwise(refuse, normal(3, 2), at_once=2),
    ],
    ids=["hessian", "traced", "per_sample", "settled", "derivative_mode", "columnwise"],
)
def test_no_route_is_left_for_another_because_memory_ran_out(monkeypatch, route):
    subject = in_small_subject(monkeypatch)
    with pytest.raises(torch.OutOfMemoryError):
        route(subject)


@pytest.mark.parametrize(
    "refusal", [torch.OutOfMemoryError(REFUSED_BY_GPU), RuntimeError(REFUSED_BY_CPU), MemoryError("no")]
)
@pytest.mark.parametrize("form", ["traced", "onnx_from_trace", "pt2"])
def test_memory_that_runs_out_inside_a_network_is_no_fault_of_the_network(form, refusal):
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    module = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).eval()
    file = exported_networks.exported(module, (x,)) if form == "pt2" else exported(form, module, x)
    model = eigengate.load_model(file)
    with torch.no_grad(), pytest.raises(MemoryExhaustedError, match=r"^out of memory in "), FullMemory(64, refusal):
        model.apply(model.params, x)
