"""Ends and trace of every layer's diagonal block, against the blocks of the dense float64 Hessian."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from eigengate.contract import AuditConfig, LayerCurvature
from eigengate.diagnostics import Context
from eigengate.diagnostics.hessian import Hessian
from eigengate.operators import HessianOperator, ParameterSpace, Subject, layers_of
from tests.support import dense
from tests.support.subjects import in_dtype, small_subject

KINDS = ("mlp", "cnn", "attention")
WHOLE = AuditConfig(quantities=("hessian",))
LAYERED = AuditConfig(quantities=("hessian",), hessian={"per_layer": True})


@pytest.fixture
def no_dense_hessian(monkeypatch):
    monkeypatch.setattr("eigengate.planning.planner.DENSE_HESSIAN", 0)


def with_effort(context: Context, **numbers: int) -> Context:
    """The same with so many products for every layer."""
    planned = context.plan
    context.__dict__["plan"] = replace(planned, layers=replace(planned.layers, **numbers))
    return context


def blocks(subject: Subject) -> list[tuple[str, Tensor]]:
    space, H = ParameterSpace.of(subject.params), dense.loss_hessian(subject)
    found = []
    for layer in layers_of(space):
        positions = layer.positions(space, torch.device("cpu"))
        found.append((layer.name, H[positions][:, positions]))
    return found


def measurements(layer: LayerCurvature):
    return layer.lambda_max, layer.lambda_min, layer.trace


def truths(block: Tensor) -> tuple[float, float, float]:
    values = torch.linalg.eigvalsh(block)
    return float(values[-1]), float(values[0]), float(block.trace())


def assert_exact(layers: tuple[LayerCurvature, ...], subject: Subject) -> None:
    expected = blocks(subject)
    assert [layer.name for layer in layers] == [name for name, _ in expected]
    for layer, (_, block) in zip(layers, expected, strict=True):
        assert layer.parameters == len(block)
        for found, truth in zip(measurements(layer), truths(block), strict=True):
            assert found.exact
            assert found.value == pytest.approx(truth, rel=1e-10, abs=1e-10)
    total = float(dense.loss_hessian(subject).trace())
    assert sum(layer.trace.value for layer in layers) == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_of_the_whole_matrix_are_exact_and_their_traces_sum_to_its_trace(kind):
    subject = small_subject(kind)
    findings = Hessian().measure(Context(subject=subject, config=LAYERED))
    assert_exact(findings.layers, subject)
    trace = next(found for found in findings.measurements if found.name == "hessian.trace")
    assert sum(layer.trace.value for layer in findings.layers) == pytest.approx(trace.value, rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_small_layers_of_a_large_network_are_exact(kind, no_dense_hessian):
    subject = small_subject(kind)
    assert_exact(Hessian().measure(Context(subject=subject, config=LAYERED)).layers, subject)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_estimated_lies_within_its_intervals(kind, no_dense_hessian):
    subject, seen = small_subject(kind), 0
    # So few that only layers of up to 24 parameters are written out.
    context = with_effort(Context(subject=subject, config=LAYERED), ends=16, trace=8)
    for layer, (_, block) in zip(Hessian().measure(context).layers, blocks(subject), strict=True):
        for found, truth in zip(measurements(layer), truths(block), strict=True):
            bars = found.error.numerical
            assert found.outcome == "ok"
            assert bars.low - 1e-12 <= truth <= bars.high + 1e-12, (layer.name, found.name)
        if layer.parameters > 24:
            scale = max(abs(layer.lambda_max.value), abs(layer.lambda_min.value))
            width = layer.lambda_max.error.numerical.high - layer.lambda_max.error.numerical.low
            # Residuals of what converged are at most ``accuracy`` of the largest value.
            assert 0 < width <= 2 * 1e-3 * scale
            assert "Lanczos" in layer.lambda_max.method
            assert "Hutch++" in layer.trace.method
            assert not layer.trace.exact
            seen += 1
    assert seen >= 2


def test_too_few_products_for_an_end_are_said_to_be(no_dense_hessian):
    subject = small_subject("mlp")
    context = with_effort(Context(subject=subject, config=LAYERED), ends=2, trace=6)
    assert {layer.lambda_min.outcome for layer in Hessian().measure(context).layers} == {"not_converged"}


@pytest.mark.parametrize("kind", KINDS)
def test_products_by_differences_give_intervals_that_hold_their_error(kind):
    subject = small_subject(kind)
    single = in_dtype(subject, torch.float32)
    context = Context(subject=single, config=LAYERED)
    context.__dict__["hessian_operator"] = HessianOperator._by_differences(single, (torch.arange(single.n),))
    for layer, (_, block) in zip(Hessian().measure(context).layers, blocks(subject), strict=True):
        for found, truth in zip(measurements(layer), truths(block), strict=True):
            bars = found.error.numerical
            assert not found.exact
            assert bars.low <= truth <= bars.high, (layer.name, found.name)
            assert "central differences" in found.method


@pytest.mark.parametrize("whole", [True, False], ids=["dense", "iterative"])
def test_asking_for_layers_changes_no_other_number(whole, monkeypatch):
    if not whole:
        monkeypatch.setattr("eigengate.planning.planner.DENSE_HESSIAN", 0)
    subject = small_subject("mlp")
    without, with_layers = (Hessian().measure(Context(subject=subject, config=c)) for c in (WHOLE, LAYERED))
    assert without.layers == ()
    assert [layer.name for layer in with_layers.layers] == ["0", "2"]
    assert without.measurements == with_layers.measurements
    assert without.spectra == with_layers.spectra


def test_the_products_made_are_those_that_were_planned(no_dense_hessian, monkeypatch):
    made = {"columns": 0}
    multiply = HessianOperator._matmat

    def counted(self, X):
        made["columns"] += X.shape[1]
        return multiply(self, X)

    def products(config, **effort):
        context = Context(subject=small_subject("cnn"), config=config)
        if effort:
            with_effort(context, **effort)
        made["columns"] = 0
        Hessian().measure(context)
        return made["columns"], context

    monkeypatch.setattr(HessianOperator, "_matmat", counted)
    alone, _ = products(WHOLE)
    layered, context = products(LAYERED)
    (step,) = [step for step in context.plan.report.steps if step.quantity == "hessian by layer"]
    # All of them are small: a product for every parameter.
    assert layered - alone == step.passes == context.space.dimension
    cut, _ = products(LAYERED, ends=16, trace=6)
    assert 0 < cut - alone <= 22 + 6 + 22


def test_progress_is_told_layer_by_layer():
    told = []
    context = Context(subject=small_subject("cnn"), config=LAYERED, on_progress=lambda *step: told.append(step))
    Hessian().measure(context)
    assert [step for step in told if step[0] == "hessian_layers"] == [("hessian_layers", k, 3) for k in (1, 2, 3)]
