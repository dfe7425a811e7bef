"""The sweep of traced networks against dense float64 gradients: published architectures, and every kind of use."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from eigengate.operators import Subject
from eigengate.sweep import sweep
from tests.support.dense import input_jacobians, parameter_jacobian
from tests.support.subjects import subject_of
from tests.support.zoo import ARCHITECTURES

ROOMY = 2**30
# Rounding of float64 sums of some thousand terms, relative to the kernel's largest entry.
ROUNDING = 1e-10


class FirstOutput(nn.Module):
    """A network's first output."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor:
        outputs = self.module(*inputs)
        return outputs[0] if isinstance(outputs, tuple) else outputs


def subject_of_architecture(name: str) -> Subject:
    architecture = ARCHITECTURES[name]
    torch.manual_seed(0)
    module = FirstOutput(architecture.build().double().eval())
    inputs = tuple(
        tensor.double() if tensor.is_floating_point() else tensor
        for tensor in architecture.inputs(torch.Generator().manual_seed(0))
    )
    subject = subject_of(module, inputs[0]) if len(inputs) == 1 else None
    if subject is None:
        first = subject_of(nn.Identity(), inputs[0])
        model = subject_of(module, inputs[0], torch.zeros(3, dtype=torch.int64)).model
        subject = replace(first, model=model, inputs=inputs)
    return subject


def assert_equal(found: Tensor, expected: Tensor, tolerance: float = ROUNDING) -> None:
    assert float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())


def assert_swept(subject: Subject, *, memory_budget_bytes: int = ROOMY) -> None:
    swept = sweep(subject, memory_budget_bytes=memory_budget_bytes)
    G, n = parameter_jacobian(subject), subject.n
    whole = (G @ G.mT).reshape(n, len(G) // n, n, -1)
    assert_equal(swept.kernel.blocks, torch.einsum("icid->icd", whole))
    assert_equal(swept.kernel.traced, torch.einsum("icjc->ij", whole))
    if subject.x.is_floating_point():
        J = input_jacobians(subject)
        assert_equal(swept.inputs.grams, J @ J.mT)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_is_swept_exactly(name):
    assert_swept(subject_of_architecture(name))
