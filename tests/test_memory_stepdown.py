"""Where memory runs out, an audit goes on in smaller pieces, says so, and finds the same."""

import gc
import weakref

import pytest
import torch
from torch import nn

import eigengate
from eigengate.contract import AuditConfig, LogEvent
from eigengate.diagnostics import Context, Findings
from eigengate.diagnostics.attribution_robustness import AttributionRobustness
from eigengate.diagnostics.hessian import Hessian
from eigengate.diagnostics.input_jacobian import InputJacobian
from eigengate.diagnostics.model_quality import ModelQuality
from eigengate.errors import MemoryExhaustedError
from eigengate.memory_stepdown import MemoryStepdown
from eigengate.planning import DEFAULT_MEMORY_BUDGET
from support.full_memory import REFUSED_BY_CPU, REFUSED_BY_GPU, FullMemory
from support.lenet import traced
from tests.support.policies import policy, threshold
from tests.support.subjects import small_subject

# One convolution of all samples makes 16 x 8 x 16 x 16 numbers of 8 bytes, 262,144 bytes. A budget of 4 MiB sweeps all
# samples at once and keeps 786,432 bytes of its gradients; one of 2 MiB half the samples, and half as much.
SWEPT = AuditConfig(
    device="cpu",
    precision="float64",
    quantities=("input_jacobian", "parameter_jacobian", "ntk", "gauss_newton"),
    memory_budget_bytes=2**22,
)
LEAST, MOST = 300_000, 700_000
# Sums over tiles in another order: rounding of float64, some hundred operations deep.
SAME = 1e-9


def samples() -> torch.Tensor:
    return torch.randn(16, 1, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network() -> eigengate.FunctionalModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.Tanh(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(128, 3)
        )
    return eigengate.load_model(traced(module.eval(), samples()))


@pytest.fixture(scope="module")
def data() -> eigengate.Probe:
    return eigengate.Probe({"input": samples()}, torch.arange(16) % 3, "0" * 64)


def audited(network, data, config, most_bytes, **options):
    with FullMemory(most_bytes) as memory:
        report = eigengate.audit(network, data, config, **options)
    return report, memory


def test_a_report_made_in_smaller_pieces_has_the_same_numbers_and_says_so(network, data):
    events = []
    roomy, untouched = audited(network, data, SWEPT, 2**30)
    tight, memory = audited(network, data, SWEPT, MOST, on_event=events.append)
    assert (untouched.refusals, memory.refusals) == (0, 1)
    assert not tight.problems
    for measurement in roomy.measurements:
        expected = pytest.approx(measurement.value, rel=SAME, abs=SAME) if measurement.value is not None else None
        assert tight.value(measurement.name) == expected, measurement.name
        assert tight.measurement(measurement.name).exact == measurement.exact
    (entry,) = [entry for entry in tight.coverage if entry.subject == "memory"]
    assert entry.analysed
    assert entry.note.startswith(
        "memory ran out in the stage model; from there on work was cut into pieces for 2 MiB instead of 4 MiB (CUDA"
    )
    assert [event.message for event in events if isinstance(event, LogEvent)] == [entry.note]
    assert not [entry for entry in roomy.coverage if entry.subject == "memory"]


def test_a_step_down_fails_no_gate(network, data):
    report, memory = audited(network, data, SWEPT, MOST)
    demanded = policy(threshold(metric="ntk.trace", limit=2 * report.value("ntk.trace")))
    assert memory.refusals == 1
    assert eigengate.judge(report, demanded).outcome == "pass"


def test_several_halvings_are_told_by_the_last_size(network, data):
    # Four MiB take 868,352 bytes for a batch of attributions, one MiB 212,992.
    config = SWEPT.model_copy(update={"quantities": ("attribution",)})
    report, memory = audited(network, data, config, LEAST)
    assert memory.refusals == 2
    (entry,) = [entry for entry in report.coverage if entry.subject == "memory"]
    assert (
        "ran out in the stage attribution; from there on work was cut into pieces for 1 MiB instead of 4 MiB"
        in entry.note
    )


def refusing(times: int, refusal: Exception, seen: list[int]):
    """A ``measure`` that memory runs out in so many times."""

    def measure(self, context: Context) -> Findings:
        seen.append(context.memory_budget_bytes)
        if len(seen) <= times:
            raise refusal
        return Findings()

    return measure


@pytest.mark.parametrize(
    "refusal", [torch.OutOfMemoryError(REFUSED_BY_GPU), RuntimeError(REFUSED_BY_CPU), MemoryError()]
)
def test_a_diagnostic_without_memory_at_any_size_is_a_problem_and_the_rest_is_kept(monkeypatch, network, data, refusal):
    seen: list[int] = []
    monkeypatch.setattr(InputJacobian, "measure", refusing(99, refusal, seen))
    config = SWEPT.model_copy(update={"memory_budget_bytes": None, "quantities": ("ntk", "input_jacobian", "hessian")})
    report = eigengate.audit(network, data, config)
    assert seen == [DEFAULT_MEMORY_BUDGET // share for share in (1, 2, 4, 8, 16)]
    (problem,) = report.problems
    assert (problem.code, problem.quantity) == ("out_of_memory", "input_jacobian")
    assert problem.detail.startswith("memory ran out even in pieces for 128 MiB: lower max_samples")
    for name in ("ntk.trace", "hessian.lambda_max", "model.loss"):
        assert report.value(name) is not None


def test_where_nothing_fits_into_memory_the_input_is_not_at_fault(monkeypatch, network, data):
    monkeypatch.setattr(InputJacobian, "measure", refusing(99, MemoryError(), []))
    with pytest.raises(MemoryExhaustedError, match=r"even in pieces for 0\.25 MiB"):
        eigengate.audit(network, data, SWEPT.model_copy(update={"quantities": ("input_jacobian",)}))


def stepdown() -> MemoryStepdown:
    return MemoryStepdown(Context(small_subject("mlp"), AuditConfig(memory_budget_bytes=2**20)), lambda message: None)


def test_what_ran_out_once_is_not_tried_again_in_larger_pieces(monkeypatch):
    seen: list[int] = []
    monkeypatch.setattr(Hessian, "measure", refusing(2, MemoryError(), seen))
    steps = stepdown()
    steps.measure(Hessian())
    steps.measure(Hessian())
    assert seen == [2**20, 2**19, 2**18, 2**18]


def test_other_errors_are_raised_at_once(monkeypatch):
    seen: list[int] = []
    monkeypatch.setattr(Hessian, "measure", refusing(9, RuntimeError("no derivative"), seen))
    with pytest.raises(RuntimeError, match="no derivative"):
        stepdown().measure(Hessian())
    assert seen == [2**20]


def test_the_plan_is_kept_and_what_was_computed_is_freed_before_the_next_try(monkeypatch):
    steps = stepdown()
    steps.measure(ModelQuality())
    plan, computed = steps.context.plan, weakref.ref(steps.context.sweep.inputs.grams)
    alive_in_the_frame: list[weakref.ref] = []
    retried = []

    def measure(self, context: Context) -> Findings:
        if not alive_in_the_frame:
            held = torch.zeros(3)
            alive_in_the_frame.append(weakref.ref(held))
            raise MemoryError
        retried.append((context.plan is plan, computed() is None, alive_in_the_frame[0]() is None))
        return Findings()

    monkeypatch.setattr(AttributionRobustness, "measure", measure)
    gc.collect()
    assert computed() is not None
    steps.measure(AttributionRobustness())
    assert retried == [(True, True, True)]
