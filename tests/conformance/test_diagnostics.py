"""What every diagnostic promises, whatever it measures; a new file in the folder is held to it unasked."""

import json
import math
import subprocess
import sys

import pytest
import torch

from eigengate.contract import AuditConfig, metrics
from eigengate.contract.config import QUANTITIES
from eigengate.diagnostics import Context, Diagnostic, load_all
from tests.support.subjects import small_subject

ALL = load_all()
# Few noise draws, and the Hessian on both routes: dense, and by Lanczos, Hutch++ and quadrature.
MEASURE = """
import json
from tests.support.subjects import small_subject
from eigengate.contract import AuditConfig
from eigengate.diagnostics import Context, load_all
from eigengate.planning import planner
for planner.DENSE_HESSIAN in (1500, 0):
    config = AuditConfig(seed=3, attribution={"draws": 1, "noise_sizes": [0.05, 0.2]})
    context = Context(subject=small_subject("mlp"), config=config)
    found = [m.model_dump(mode="json") for d in load_all() for m in d.measure(context).measurements]
    print(json.dumps(found, sort_keys=True))
"""


def context() -> Context:
    return Context(
        subject=small_subject("mlp"), config=AuditConfig(attribution={"draws": 1, "noise_sizes": (0.05, 0.2)})
    )


def test_every_quantity_of_the_configuration_has_a_diagnostic():
    assert {d.quantity for d in ALL} == {*QUANTITIES, None}


def test_every_measurement_is_in_the_torch_free_catalogue_with_the_same_direction():
    ours = {metric.name: metric.direction for d in ALL for metric in d.metrics}
    known = {name: metrics.METRICS[name].direction for name in ours if name in metrics.METRICS}
    assert known == ours


@pytest.mark.parametrize("diagnostic", ALL, ids=lambda d: d.name)
def test_a_diagnostic_says_what_it_is_and_reports_exactly_what_it_declares(diagnostic: Diagnostic):
    assert diagnostic.title
    assert diagnostic.reference
    assert type(diagnostic).__doc__
    assert len({metric.name for metric in diagnostic.metrics}) == len(diagnostic.metrics) > 0
    subject = context().subject
    before = {name: tensor.clone() for name, tensor in subject.params.items()}
    shared = context()
    findings = diagnostic.measure(shared)
    declared = {metric.name: metric for metric in diagnostic.metrics}
    assert {m.name for m in findings.measurements} == set(declared)
    for measurement in findings.measurements:
        metric = declared[measurement.name]
        assert metric.title
        assert (measurement.unit, measurement.direction) == (metric.unit, metric.direction)
        if measurement.value is None:
            assert measurement.outcome != "ok"
            assert measurement.detail
        else:
            assert math.isfinite(measurement.value)
            assert measurement.method or diagnostic.quantity == "attribution"
    assert all(len(values) == subject.n for values in findings.per_sample.values())
    assert set(findings.per_sample) <= set(declared)
    assert all(torch.equal(before[name], tensor) for name, tensor in shared.subject.params.items())


def test_the_same_seed_gives_the_same_digits_in_a_fresh_process():
    command = [sys.executable, "-W", "ignore", "-c", MEASURE]
    first, second = (
        subprocess.run(command, capture_output=True, check=True, text=True, timeout=120).stdout for _ in range(2)
    )
    assert first == second
    dense, iterative = (json.loads(line) for line in first.splitlines())
    assert len(dense) == len(iterative) == sum(len(d.metrics) for d in ALL)
    assert dense != iterative


def test_measuring_leaves_global_random_state_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    shared = Context(subject=small_subject_untouched(), config=AuditConfig())
    for diagnostic in ALL:
        if diagnostic.quantity != "attribution":
            diagnostic.measure(shared)
    assert torch.equal(torch.get_rng_state(), before)


def small_subject_untouched():
    """A subject whose construction has put the random state back."""
    with torch.random.fork_rng():
        return small_subject("mlp")


def test_two_diagnostics_of_one_name_are_refused(monkeypatch):
    from eigengate.diagnostics import _discovery

    monkeypatch.setattr(_discovery, "_instances", lambda: iter([*ALL, ALL[0]]))
    with pytest.raises(ValueError, match=f"unique names, repeated: .*{ALL[0].name}"):
        load_all()
