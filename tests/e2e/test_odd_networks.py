"""Networks that are honest but unusual: each is measured, or refused with a reason, never half of both."""

import io
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import eigengate
from eigengate.errors import NothingMeasuredError
from support.lenet import exported, traced

CONFIG = eigengate.AuditConfig(device="cpu", precision="float64")
QUICK = eigengate.AuditConfig(device="cpu", quantities=("input_jacobian", "hessian"))


def probe(x: torch.Tensor) -> eigengate.Probe:
    stream = io.BytesIO()
    np.savez(stream, x=x.numpy())
    return eigengate.load_probe(stream.getvalue())


def samples(n: int, *shape: int) -> torch.Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))


class Temperature(nn.Module):
    """A linear classifier with a learned temperature, a parameter without dimensions."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 3)
        self.temperature = nn.Parameter(torch.tensor(0.7))

    def forward(self, x):
        return self.linear(x).tanh() / self.temperature


def test_a_parameter_without_dimensions_is_measured():
    report = eigengate.audit(
        eigengate.load_model(traced(Temperature().eval(), samples(2, 5))), probe(samples(6, 5)), CONFIG
    )
    assert not report.problems
    assert report.model.parameters.count == 19
    assert all(m.value is not None for m in report.measurements if m.name.startswith("parameter_jacobian."))


def with_batch_of_four(model: nn.Module, x: torch.Tensor) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        program = torch.onnx.export(model, (x[:4],), dynamo=True, verbose=False)
    return program.model_proto.SerializeToString()


def test_an_onnx_file_with_a_fixed_batch_is_measured_as_its_dynamic_twin():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 3)).eval()
    x = samples(6, 5)
    files = (with_batch_of_four(model, x), exported("onnx_from_export", model, x))
    fixed, dynamic = (eigengate.audit(eigengate.load_model(file), probe(x), CONFIG) for file in files)
    assert not fixed.problems
    for name in ("input_jacobian.operator_norm", "ntk.operator_norm", "hessian.lambda_max", "index.gmsi"):
        assert fixed.value(name) == pytest.approx(dynamic.value(name), rel=1e-9), name


def test_when_every_quantity_fails_there_is_no_report(monkeypatch):
    from eigengate.diagnostics.hessian import Hessian
    from eigengate.diagnostics.input_jacobian import InputJacobian

    def fail(self, context):
        raise RuntimeError("the matrix fell off the table")

    monkeypatch.setattr(InputJacobian, "measure", fail)
    model = eigengate.load_model(traced(nn.Linear(5, 3).eval(), samples(2, 5)))
    assert [p.quantity for p in eigengate.audit(model, probe(samples(4, 5)), QUICK).problems] == ["input_jacobian"]
    monkeypatch.setattr(Hessian, "measure", fail)
    with pytest.raises(
        NothingMeasuredError, match="input_jacobian: the matrix fell off the table; hessian: the matrix"
    ):
        eigengate.audit(model, probe(samples(4, 5)), QUICK)
