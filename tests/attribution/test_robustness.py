"""Robustness against answers known on paper, and the invariances it promises."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from eigengate.attribution import (
    AttributionMethod,
    Neighbourhood,
    RobustnessCurve,
    explain,
    load_all,
    robustness,
    rows_within,
)
from eigengate.attribution.methods.saliency import Saliency
from eigengate.loading.program import TensorSpec
from eigengate.operators.subject import Subject
from tests.support.attribution_subjects import Linear, Quadratic, Scaled, classifier, normal, regressor, tanh_network
from tests.support.modules import ModuleProgram

METHODS = load_all()
SIZES = (0.01, 0.05, 0.2)


def neighbourhood(subject: Subject, draws: int = 3, seed: int = 0) -> Neighbourhood:
    return Neighbourhood(subject.x, SIZES, draws, lambda name: subject.generator(seed, name))


def measured(subject: Subject, name: str = "saliency", rows_per_batch: int = 16) -> RobustnessCurve:
    method: AttributionMethod = METHODS[name].for_probe(subject.x, subject.generator(0, name))
    return robustness(subject, method, neighbourhood(subject), rows_per_batch=rows_per_batch)


@pytest.mark.parametrize("name", ["saliency", "smoothgrad"])
def test_gradients_of_a_linear_network_never_move(name):
    curve = measured(classifier(Linear(normal(3, 12)), normal(5, 12, seed=1)), name)
    # SmoothGrad adds the same numbers in the same order for every copy, so even its rounding is the same.
    assert torch.equal(curve.scores["cosine"], torch.ones(5, 3, 3).double())
    assert torch.equal(curve.scores["spearman"], torch.ones(5, 3, 3).double())
    assert torch.equal(curve.scores["top_k_overlap"], torch.ones(5, 3, 3).double())
    assert torch.equal(curve.scores["relative_l2"], torch.zeros(5, 3, 3).double())
    torch.testing.assert_close(curve.area("cosine"), torch.ones(5, 3).double(), atol=1e-15, rtol=0)


def test_integrated_gradients_of_a_linear_network_move_with_the_input():
    weight = normal(1, 12)
    subject = regressor(Linear(weight), normal(5, 12, seed=1))
    copies = neighbourhood(subject).copies(torch.arange(45)).reshape(5, 3, 3, 12)
    expected = torch.cosine_similarity(weight * subject.x.reshape(5, 1, 1, 12), weight * copies, dim=3)
    torch.testing.assert_close(measured(subject, "integrated_gradients").scores["cosine"], expected, atol=1e-12, rtol=0)


def test_saliency_of_a_quadratic_moves_by_its_matrix_times_the_noise():
    a = normal(6, 6)
    a = a + a.T
    subject = regressor(Quadratic(a), normal(5, 6, seed=1))
    noise = neighbourhood(subject).copies(torch.arange(45)).reshape(5, 3, 3, 6) - subject.x.reshape(5, 1, 1, 6)
    clean, change = subject.x.reshape(5, 1, 1, 6) @ a, noise @ a
    expected = torch.cosine_similarity(clean.expand_as(change), clean + change, dim=3)
    curve = measured(subject)
    torch.testing.assert_close(curve.scores["cosine"], expected, atol=1e-12, rtol=0)
    largest = torch.maximum(clean.norm(dim=3), (clean + change).norm(dim=3))
    torch.testing.assert_close(curve.scores["relative_l2"], change.norm(dim=3) / largest, atol=1e-12, rtol=0)


def test_far_from_the_boundary_no_prediction_flips_and_on_it_half_of_them_do():
    x, weight = normal(40, 12, seed=1), normal(1, 12)
    opposite = torch.cat([weight, -weight])
    far = measured(classifier(Linear(opposite, torch.tensor([1000.0, 0.0]).double()), x))
    assert float(far.scores["flip_rate"].sum()) == 0
    on = measured(classifier(Linear(opposite), 1e-9 * x + 10 * _orthogonal(x, weight[0])))
    # 120 independent noise vectors, each flips with probability ½: four standard errors are 0.18.
    torch.testing.assert_close(on.mean("flip_rate"), torch.full((3,), 0.5).double(), atol=0.18, rtol=0)


def _orthogonal(x: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    unit = direction / direction.norm()
    return x - (x @ unit).unsqueeze(1) * unit


def test_a_regression_explains_the_sum_of_its_outputs_and_has_no_flips():
    subject = regressor(Linear(normal(3, 12)), normal(5, 12, seed=1))
    assert "flip_rate" not in measured(subject).scores
    explanation = explain(subject, Saliency(), torch.arange(5), rows_per_batch=5)
    torch.testing.assert_close(explanation.maps, normal(3, 12).sum(dim=0).expand(5, -1), atol=1e-14, rtol=0)


def test_a_classification_explains_the_predicted_class_even_where_the_copy_is_taken_for_another():
    weight = normal(3, 12)
    subject = classifier(Linear(weight), 0.01 * normal(5, 12, seed=1))
    explanation = explain(subject, Saliency(), torch.arange(5), rows_per_batch=2)
    assert torch.equal(explanation.maps, weight[explanation.f.argmax(dim=1)])
    far = Neighbourhood(subject.x, (100.0, 200.0), 3, lambda name: subject.generator(0, name))
    curve = robustness(subject, Saliency(), far, rows_per_batch=16)
    assert float(curve.mean("flip_rate").min()) > 0.2
    assert torch.equal(curve.mean("cosine"), torch.ones(2).double())


@pytest.mark.parametrize("name", METHODS)
def test_the_scale_of_the_logits_changes_no_score(name):
    network, x = tanh_network(8, 3), normal(5, 8, dtype=torch.float32)
    one, ten = measured(classifier(network, x), name), measured(classifier(Scaled(network, 10.0), x), name)
    for score, values in one.scores.items():
        torch.testing.assert_close(ten.scores[score], values, atol=1e-6, rtol=0, msg=score)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("rows", [1, 7, 512])
def test_batches_do_not_matter(name, rows):
    subject = classifier(tanh_network(8, 3), normal(5, 8))
    reference = measured(subject, name)
    for score, values in measured(subject, name, rows_per_batch=rows).scores.items():
        torch.testing.assert_close(values, reference.scores[score], atol=1e-12, rtol=0)  # order of summation


def test_the_same_seed_gives_the_same_digits_and_another_seed_others():
    subject = classifier(tanh_network(8, 3), normal(5, 8))
    scores = [
        robustness(subject, Saliency(), neighbourhood(subject, seed=seed), rows_per_batch=16).scores["cosine"]
        for seed in (0, 0, 1)
    ]
    assert torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[0], scores[2])


def test_a_network_exported_for_single_samples_gets_the_same_scores():
    network, x = tanh_network(8, 3), normal(5, 8)
    batched = classifier(network, x)
    program = ModuleProgram(network, (TensorSpec("x", torch.float32, (1, 8)),), torch.float64)
    single = replace(batched, model=replace(batched.model, program=program))
    assert single.model.one_sample_only
    for score, values in measured(single, "integrated_gradients").scores.items():
        torch.testing.assert_close(values, measured(batched, "integrated_gradients").scores[score], atol=1e-12, rtol=0)


def test_robustness_leaves_the_network_and_its_gradients_alone():
    network = tanh_network(8, 3)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    curve = measured(classifier(network, normal(5, 8)))
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not curve.scores["cosine"].requires_grad


def test_zero_maps_are_marked():
    dead = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double()
    with torch.no_grad():
        dead[0].bias.fill_(-1000.0)
    curve = measured(classifier(dead, normal(3, 4)))
    assert bool(curve.zero_maps.all())
    assert torch.equal(curve.scores["cosine"], torch.ones(3, 3, 3).double())


class RootOfFirst(nn.Module):
    """Its gradient is infinite at x_0 = 0 and not a number below."""

    def forward(self, x):
        return x[:, :1].sqrt() + x[:, 1:2]


def test_a_map_that_is_not_finite_has_no_score():
    x = torch.cat([torch.tensor([[0.0], [100.0]]), torch.ones(2, 3)], dim=1).double()
    curve = measured(regressor(RootOfFirst(), x))
    assert bool(curve.scores["cosine"][0].isnan().all())
    assert bool(curve.scores["top_k_overlap"][0].isnan().all())
    assert bool(curve.scores["cosine"][1].isfinite().all())


def test_progress_counts_every_copy_once():
    subject = classifier(tanh_network(8, 3), normal(5, 8))
    heard: list[tuple[str, int, int]] = []
    robustness(
        subject, Saliency(), neighbourhood(subject), rows_per_batch=20, on_progress=lambda *event: heard.append(event)
    )
    assert heard == [
        ("attribution saliency", 20, 45),
        ("attribution saliency", 40, 45),
        ("attribution saliency", 45, 45),
    ]


def test_batches_shrink_with_the_budget_and_never_below_one_row():
    subject = classifier(tanh_network(64, 3, width=4096), normal(5, 64, dtype=torch.float32))
    rows = [rows_within(subject, budget) for budget in (2**20, 2**22, 2**24)]
    assert rows[1] == pytest.approx(4 * rows[0], abs=4)
    assert rows[2] == pytest.approx(16 * rows[0], abs=16)
    # One row saves at least its 4096 hidden activations of four bytes.
    assert 1 < rows[0] <= 2**20 / (4096 * 4)
    assert rows_within(subject, 1) == 1
    assert rows_within(classifier(tanh_network(8, 3), normal(5, 8)), 2**40) == 512


def test_parameters_do_not_count_against_the_batch():
    x = normal(5, 64, dtype=torch.float32)
    thin, thick = nn.Linear(64, 64), nn.Sequential(nn.Linear(64, 64), *[nn.Identity()] * 3)
    thick.register_parameter("unused", nn.Parameter(torch.zeros(10**6)))
    assert rows_within(classifier(thin, x), 2**22) == rows_within(classifier(thick, x), 2**22)
