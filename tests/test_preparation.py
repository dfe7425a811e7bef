"""What is refused before anything is measured."""

import pytest
import torch
from torch import Tensor, nn

from eigengate.contract import AuditConfig
from eigengate.errors import EigengateError, ModelError, NotDifferentiableError
from eigengate.loading.binding import bind
from eigengate.loading.probe import Probe
from eigengate.loading.program import TensorSpec
from eigengate.preparation import prepare
from support.modules import functional

X = torch.linspace(-1.0, 1.0, 8 * 5).reshape(8, 5).sin()


class Chosen(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.argmax(1)


class Nothing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :0]


class Centred(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(0, keepdim=True))[:, :3]


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        (Chosen(), NotDifferentiableError, "holds int64"),
        (Nothing(), ModelError, "holds no number"),
        (Centred(), ModelError, "depends on the samples beside it"),
    ],
)
def test_outputs_that_cannot_be_measured_are_refused_with_a_remedy(network, error, message):
    with pytest.raises(error, match=message) as caught:
        prepare(functional(network), Probe({"x": X}, None, "0" * 64), AuditConfig(device="cpu"))
    assert caught.value.hint


def test_a_single_sample_needs_no_company():
    prepared = prepare(functional(nn.Linear(5, 3)), Probe({"x": X[:1]}, None, "0" * 64), AuditConfig(device="cpu"))
    assert prepared.subject.n == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused_with_a_remedy(dtype):
    with pytest.raises(EigengateError, match="too few digits") as caught:
        bind((TensorSpec("x", dtype, (None, 5)),), Probe({"x": X}, None, "0" * 64))
    assert "float32" in caught.value.hint
