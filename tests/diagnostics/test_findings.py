"""Spectra and per-sample values of the report."""

import pytest
import torch

from eigengate.contract import AuditConfig
from eigengate.diagnostics import Context
from tests.support.measuring import SPECTRAL, spectral_diagnostics
from tests.support.subjects import small_subject


@pytest.fixture(scope="module")
def found():
    context = Context(subject=small_subject("mlp"), config=AuditConfig(quantities=SPECTRAL))
    return {d.name: d.measure(context) for d in spectral_diagnostics()}


def test_the_mean_of_per_sample_values_is_the_measurement(found):
    seen = 0
    for findings in found.values():
        by_name = {m.name: m for m in findings.measurements}
        for name, values in findings.per_sample.items():
            assert len(values) == 5
            assert by_name[name].value == pytest.approx(sum(values) / 5)
            assert by_name[name].summary.max == pytest.approx(max(values))
            seen += 1
    assert seen == 9 + 2 + 9 + 2 + 2 + 1


def test_there_is_a_spectrum_for_every_sample_and_operator(found):
    spectra = [s for findings in found.values() for s in findings.spectra]
    whole = {s.name: len(s.values) for s in spectra if s.sample is None}
    assert whole == {"ntk": 5, "ntk_relative": 5, "ntk_full": 15, "gauss_newton": 15, "hessian": 83}
    per_sample = [s for s in spectra if s.sample is not None]
    assert {s.name for s in per_sample} == {"input_jacobian", "parameter_jacobian"}
    assert sorted(s.sample for s in per_sample if s.name == "input_jacobian") == list(range(5))
    assert all(list(s.values) == sorted(s.values, reverse=True) and s.complete for s in spectra)


def test_a_spectrum_carries_the_values_its_summaries_come_from(found):
    jacobian = found["input_jacobian"]
    first = jacobian.spectra[0].values
    assert first[0] == pytest.approx(jacobian.per_sample["input_jacobian.operator_norm"][0])
    energies = torch.tensor(first) ** 2
    assert float(energies.sum() ** 0.5) == pytest.approx(jacobian.per_sample["input_jacobian.frobenius_norm"][0])


def test_only_what_was_asked_for_is_swept():
    context = Context(subject=small_subject("mlp"), config=AuditConfig(quantities=("ntk",)))
    assert context.sweep.inputs is None
    assert context.kernel is not None
