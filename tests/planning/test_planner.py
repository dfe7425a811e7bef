"""What a plan counts, and how it gives way to a budget."""

import io
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import eigengate
from eigengate.contract import AuditConfig
from eigengate.diagnostics import Context
from eigengate.diagnostics.attribution_robustness import AttributionRobustness
from eigengate.estimators.effort import Effort
from eigengate.planning import (
    Workload,
    hessian_effort,
    layer_effort,
    layer_products,
    measured_throughput,
    plan,
    products_of,
)
from tests.support.subjects import normal, small_subject, subject_of

# A ResNet-18 on 64 images: 1.1 GFLOP each.
LARGE = Workload(
    samples=64, outputs=10, dimension=3072, parameters=11_000_000, tensors=62, forward=1.1e9, values=10**6, itemsize=4
)
LAYERED = AuditConfig(hessian={"per_layer": True})
QUICK = AuditConfig(attribution={"draws": 1, "noise_sizes": (0.05, 0.2)})


def test_the_work_of_a_linear_map_is_its_multiplications_and_additions():
    work = Workload.of(subject_of(nn.Linear(5, 3).double(), normal(4, 5)))
    # 2·5·3 in the product, four for every value the program tells of: the logits.
    assert work.forward == 2 * 5 * 3 + 4 * 3
    assert (work.samples, work.outputs, work.dimension, work.parameters, work.tensors) == (4, 3, 5, 18, 2)


def test_a_small_network_gets_everything():
    subject = small_subject("mlp")
    decided = plan(Workload.of(subject), AuditConfig())
    assert decided.exact_sweep
    assert decided.dense_hessian
    assert decided.hessian == Effort()
    assert decided.attributed == subject.n
    assert all(step.seconds is None for step in decided.report.steps)


def test_a_large_network_is_cut_to_the_default_budget():
    decided = plan(LARGE, AuditConfig())
    assert decided.exact_sweep
    assert not decided.dense_hessian
    assert products_of(decided.hessian) < products_of(Effort())
    assert decided.attributed < LARGE.samples
    by_quantity = {step.quantity: step for step in decided.report.steps}
    assert by_quantity["hessian"].passes == products_of(hessian_effort(0))
    assert by_quantity["attribution"].samples == decided.attributed


def test_many_outputs_are_projected_unless_the_budget_has_room_for_a_pass_each():
    many = replace(LARGE, outputs=1000)
    assert not plan(many, AuditConfig()).exact_sweep
    assert plan(replace(many, forward=1e5), AuditConfig()).exact_sweep
    assert plan(many, AuditConfig(time_budget_s=1e6), flops_per_second=1e11).exact_sweep


@given(st.floats(1e8, 1e16), st.floats(1, 1e4))
def test_more_budget_never_buys_less(speed, seconds):
    less, more = (plan(LARGE, AuditConfig(time_budget_s=t), speed) for t in (seconds, 2 * seconds))
    assert more.exact_sweep >= less.exact_sweep
    assert more.attributed >= less.attributed
    assert more.hessian.ends >= less.hessian.ends
    assert more.hessian.trace >= less.hessian.trace


@given(st.floats(0, 1e6))
def test_every_number_of_the_hessian_gets_a_look_and_the_budget_holds_beyond_that(products):
    effort, least = hessian_effort(products), hessian_effort(0)
    assert effort.ends >= least.ends
    assert effort.steps >= least.steps
    assert min(effort.probes - 1, effort.trace // 3) >= 2
    # Every part has its share or its least.
    assert products_of(effort) <= products + products_of(least)


@given(st.floats(0, 1e6), st.integers(0, 200))
def test_probe_vectors_make_up_for_steps_that_memory_has_no_room_for(products, steps):
    effort, roomy = hessian_effort(products, most_steps=steps), hessian_effort(products)
    assert effort.steps <= max(steps, hessian_effort(0).steps)
    assert effort.probes >= roomy.probes
    assert effort.probes * effort.steps <= roomy.probes * roomy.steps


def test_the_basis_of_the_quadrature_keeps_to_half_the_memory():
    roomy = plan(LARGE, AuditConfig(time_budget_s=1e6, memory_budget_bytes=2**33), 1e11).hessian
    tight = plan(LARGE, AuditConfig(time_budget_s=1e6, memory_budget_bytes=2**31), 1e11).hessian
    assert roomy.steps == Effort.steps
    assert 0.9 * 2**30 < tight.steps * 4 * LARGE.parameters <= 2**30


def test_layers_are_planned_on_request_alone_and_share_the_products_of_the_hessian():
    work = replace(LARGE, forward=1e7, layers=(10, 1000, 2_000_000))
    without, layered = plan(work, AuditConfig()), plan(work, LAYERED)
    assert without.layers is None
    assert not [step for step in without.report.steps if step.quantity == "hessian by layer"]
    (step,) = [step for step in layered.report.steps if step.quantity == "hessian by layer"]
    each = layered.layers.ends + layered.layers.trace
    assert step.passes == min(10, each) + 2 * each
    assert step.flops == step.passes * work.hessian_product
    assert not step.exact
    assert "1 of 3 blocks column by column" in step.route
    assert products_of(layered.hessian) <= products_of(without.hessian)
    assert layered.attributed == without.attributed


def test_layers_of_a_small_network_take_no_products_of_their_own():
    (step,) = [
        step
        for step in plan(Workload.of(small_subject("cnn")), LAYERED).report.steps
        if step.quantity == "hessian by layer"
    ]
    assert (step.passes, step.flops, step.exact) == (0, 0.0, True)
    assert step.route == "3 blocks of the whole matrix"


@given(st.floats(0, 1e5), st.lists(st.integers(1, 10_000), min_size=1, max_size=30))
def test_every_layer_gets_a_look_and_the_budget_of_layers_holds_beyond_that(products, sizes):
    effort, least = layer_effort(products, sizes), layer_effort(0, sizes)
    spent, fewest = (sum(layer_products(e, size) for size in sizes) for e in (effort, least))
    assert effort.ends >= least.ends > 0
    assert effort.trace >= least.trace >= 6
    # Both parts are at least their least in every layer.
    assert spent <= products + fewest
    # What is not spent is rounding, at most two products a layer, or was not needed.
    assert effort.ends == Effort().ends or spent >= min(products, sum(sizes)) - 2 * len(sizes)


def test_a_time_budget_is_turned_into_operations_by_the_speed_of_the_machine():
    decided = plan(LARGE, AuditConfig(time_budget_s=10), flops_per_second=3e10)
    assert decided.report.budget_flops == pytest.approx(3e11)
    assert all(step.seconds == pytest.approx(step.flops / 3e10) for step in decided.report.steps)


def test_the_speed_is_that_of_a_gradient_here():
    subject = small_subject("cnn")
    assert 0 < measured_throughput(subject, Workload.of(subject)) < 1e15


def test_attributions_of_the_first_samples_say_so_and_leave_the_rest_open(monkeypatch):
    subject = small_subject("mlp", n=6)
    everything = AttributionRobustness().measure(Context(subject=subject, config=QUICK))
    monkeypatch.setattr("eigengate.planning.planner.DEFAULT_FLOPS", 1.0)
    few = AttributionRobustness().measure(Context(subject=subject, config=QUICK))
    assert "the first 2 of 6 samples" in few.coverage[0].note
    for name, values in few.per_sample.items():
        # The same samples, noise and spread as in the whole.
        assert values[:2] == pytest.approx(everything.per_sample[name][:2], rel=1e-6, abs=1e-9)
        assert values[2:] == (None,) * 4


def test_a_report_carries_its_plan_and_a_plan_can_be_had_alone():
    torch.manual_seed(0)
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(4, 3), torch.zeros(2, 4)), stream)
    model = eigengate.load_model(stream.getvalue())
    probe = eigengate.Probe({"x": normal(5, 4).float()}, None, "0" * 64)
    alone = eigengate.plan_audit(model, probe, QUICK)
    report = eigengate.audit(model, probe, QUICK)
    assert [step.quantity for step in alone.steps] == [step.quantity for step in report.plan.steps]
    assert alone.flops_per_second > 0
    assert report.plan.flops_per_second is None


def test_a_report_says_what_every_step_of_its_plan_took():
    model, x = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).eval(), torch.randn(5, 4)
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(model, x), stream)
    functional = eigengate.load_model(stream.getvalue())
    probe = eigengate.Probe({functional.inputs[0].name: x}, None, "0" * 64)
    config = AuditConfig(quantities=("ntk", "gauss_newton", "hessian"), time_budget_s=1000)
    report = eigengate.audit(functional, probe, config)
    took = {stage.name: stage.seconds for stage in report.cost.stages}
    assert [step.quantity for step in report.plan.steps] == ["ntk, gauss_newton", "hessian"]
    spent = [step.spent_seconds for step in report.plan.steps]
    assert spent == pytest.approx([took["model"] + took["ntk"] + took["gauss_newton"], took["hessian"]])
    # The certificate's time is not there to be measured in.
    before = took["prepare"] + took["certificate"]
    assert report.plan.budget_flops / report.plan.flops_per_second == pytest.approx(1000 - before, abs=0.1)


def test_a_gauss_newton_matrix_known_through_products_has_a_step_of_its_own():
    many = replace(LARGE, outputs=1000)
    first, second = plan(many, AuditConfig(quantities=("ntk", "gauss_newton", "hessian"))).report.steps[:2]
    assert (first.quantity, second.quantity) == ("ntk", "gauss_newton")
    assert second.flops == second.passes * many.gauss_newton_product > 0
    (shared, _) = plan(LARGE, AuditConfig(quantities=("ntk", "gauss_newton", "hessian"))).report.steps
    assert shared.quantity == "ntk, gauss_newton"


def test_the_whole_plan_fits_into_a_budget_with_room_for_a_look_at_everything():
    many = replace(LARGE, outputs=1000, samples=4, forward=8e9)
    report = plan(many, AuditConfig(time_budget_s=600), flops_per_second=2.5e11).report
    assert sum(step.seconds for step in report.steps) <= 600
