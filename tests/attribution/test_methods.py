"""Every method against its declared axioms, closed forms and captum."""

import captum.attr
import pytest
import torch
from torch.nn import functional as F

from eigengate.attribution import AttributionMethod, Axiom, load_all, spread
from eigengate.attribution.methods.integrated_gradients import IntegratedGradients, completeness_gap
from eigengate.attribution.methods.saliency import Saliency
from eigengate.attribution.methods.smoothgrad import SmoothGrad
from tests.support.attribution_subjects import Quadratic, normal, tanh_network

METHODS = load_all()


def fitted(cls: type[AttributionMethod], x: torch.Tensor) -> AttributionMethod:
    return cls.for_probe(x, torch.Generator().manual_seed(3))


def declaring(axiom: Axiom) -> list[type[AttributionMethod]]:
    return [cls for cls in METHODS.values() if axiom in cls.axioms]


def one_hot(labels: list[int], classes: int) -> torch.Tensor:
    return F.one_hot(torch.tensor(labels), classes).double()


def test_the_folder_holds_the_default_methods():
    assert set(METHODS) == {"saliency", "integrated_gradients", "smoothgrad"}


@pytest.mark.parametrize("cls", declaring(Axiom.COMPLETENESS))
def test_complete_maps_add_up_to_the_change_from_the_baseline(cls):
    f, x, target = tanh_network(5, 3).double(), normal(4, 5), one_hot([0, 1, 2, 0], 3)
    attribution = fitted(cls, x).attribute(f, x, target)
    # 16 Gauss-Legendre nodes on a smooth integrand: the rest is rounding and the tail of a geometric series.
    torch.testing.assert_close(completeness_gap(f, x, target, attribution), torch.zeros(4).double(), atol=1e-8, rtol=0)


@pytest.mark.parametrize("cls", declaring(Axiom.SENSITIVITY))
def test_sensitive_maps_see_a_feature_that_has_saturated(cls):
    # Sundararajan, Taly & Yan 2017, section 2.1: f rises from 0 to 1 and is flat at x = 2.
    x = torch.tensor([[2.0]], dtype=torch.float64)
    attribution = fitted(cls, x).attribute(lambda z: 1 - torch.relu(1 - z), x, torch.ones_like(x))
    assert attribution.item() == pytest.approx(1.0, abs=0.1)  # the kink costs at most one of 16 nodes


def test_saliency_is_rightly_not_declared_sensitive():
    x = torch.tensor([[2.0]], dtype=torch.float64)
    assert Saliency().attribute(lambda z: 1 - torch.relu(1 - z), x, torch.ones_like(x)).item() == 0


@pytest.mark.parametrize("cls", declaring(Axiom.DUMMY))
def test_a_feature_the_function_ignores_is_mapped_to_exactly_zero(cls):
    network, x, target = tanh_network(3, 2).double(), normal(4, 5), one_hot([0, 1, 1, 0], 2)
    attribution = fitted(cls, x).attribute(lambda z: network(z[:, :3]), x, target)
    assert torch.equal(attribution[:, 3:], torch.zeros(4, 2).double())
    assert bool((attribution[:, :3] != 0).all())


@pytest.mark.parametrize("cls", declaring(Axiom.LINEARITY))
def test_the_map_of_a_combination_is_the_combination_of_the_maps(cls):
    f, g, x = tanh_network(5, 3).double(), tanh_network(5, 3, seed=1).double(), normal(4, 5)
    target, method = one_hot([0, 1, 2, 0], 3), fitted(cls, x)
    combined = method.attribute(lambda z: 2 * f(z) - 3 * g(z), x, target)
    separate = 2 * method.attribute(f, x, target) - 3 * method.attribute(g, x, target)
    torch.testing.assert_close(combined, separate, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("cls", declaring(Axiom.IMPLEMENTATION_INVARIANCE))
def test_functions_with_equal_values_have_equal_maps(cls):
    x, weight, target = normal(4, 5), normal(3, 5, seed=1), one_hot([0, 1, 2, 0], 3)
    method = fitted(cls, x)
    one = method.attribute(lambda z: torch.sigmoid(z @ weight.T), x, target)
    other = method.attribute(lambda z: (1 + torch.tanh(z @ weight.T / 2)) / 2, x, target)
    torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("cls", METHODS.values())
def test_each_row_is_explained_on_its_own(cls):
    f, x, target = tanh_network(5, 3).double(), normal(4, 5), one_hot([0, 1, 2, 0], 3)
    method = fitted(cls, x)
    alone = torch.cat([method.attribute(f, x[i : i + 1], target[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(method.attribute(f, x, target), alone, atol=1e-14, rtol=1e-12)


@pytest.mark.parametrize("cls", METHODS.values())
def test_the_same_seed_gives_the_same_digits(cls):
    f, x, target = tanh_network(5, 3).double(), normal(4, 5), one_hot([0, 1, 2, 0], 3)
    assert torch.equal(fitted(cls, x).attribute(f, x, target), fitted(cls, x).attribute(f, x, target))


def test_on_a_linear_function_the_maps_are_the_weights_or_weights_times_input():
    weight, x = normal(3, 5), normal(2, 5, seed=1)
    target = one_hot([2, 0], 3)
    rows = weight[[2, 0]]
    expected = {"saliency": rows, "smoothgrad": rows, "integrated_gradients": rows * x}
    for name, cls in METHODS.items():
        attribution = fitted(cls, x).attribute(lambda z: z @ weight.T, x, target)
        torch.testing.assert_close(attribution, expected[name], atol=1e-13, rtol=1e-12)


def test_smoothgrad_of_a_quadratic_is_its_gradient_because_noise_comes_in_pairs():
    a = normal(5, 5)
    quadratic, x = Quadratic(a + a.T), normal(3, 5, seed=1)
    attribution = fitted(SmoothGrad, x).attribute(quadratic, x, torch.ones(3, 1).double())
    torch.testing.assert_close(attribution, x @ (a + a.T), atol=1e-12, rtol=1e-10)


def test_smoothgrad_is_the_mean_of_gradients_at_its_noise():
    f, x, target = tanh_network(5, 3).double(), normal(4, 5), one_hot([0, 1, 2, 0], 3)
    method = SmoothGrad.for_probe(x, torch.Generator().manual_seed(3))
    naive = torch.zeros_like(x)
    for noise in method.noise:
        z = (x + noise).requires_grad_()
        (gradient,) = torch.autograd.grad((f(z) * target).sum(), z)
        naive += gradient / len(method.noise)
    torch.testing.assert_close(method.attribute(f, x, target), naive, atol=1e-13, rtol=1e-10)


def test_smoothgrad_noise_has_half_the_spread_of_the_probe_data():
    x = 7 * normal(20, 3, 40, 40)
    noise = SmoothGrad.for_probe(x, torch.Generator().manual_seed(0)).noise
    assert torch.equal(noise[:8], -noise[8:])
    # 38 400 normal numbers: their root mean square has a standard error of 0.4 %.
    assert float(noise.square().mean().sqrt()) == pytest.approx(0.5 * spread(x), rel=0.02)


def test_integrated_gradients_are_exact_where_the_gradient_is_a_polynomial_of_low_degree():
    x, target = normal(3, 4), torch.ones(3, 1).double()

    def cubic(z):
        return (z**3).sum(dim=1, keepdim=True)

    attribution = IntegratedGradients(steps=2).attribute(cubic, x, target)
    torch.testing.assert_close(attribution, x**3, atol=1e-13, rtol=1e-12)
    assert completeness_gap(cubic, x, target, attribution).abs().max() < 1e-12


def test_the_completeness_gap_shows_too_few_steps():
    f, x, target = tanh_network(5, 3).double(), 10 * normal(4, 5), one_hot([0, 1, 2, 0], 3)
    with torch.no_grad():
        few, many = (
            float(completeness_gap(f, x, target, IntegratedGradients(steps).attribute(f, x, target)).abs().max())
            for steps in (1, 16)
        )
    assert many < 0.1 * few


def test_saliency_agrees_with_captum():
    f, x, labels = tanh_network(5, 3).double(), normal(4, 5), [0, 1, 2, 0]
    theirs = captum.attr.Saliency(f).attribute(x.clone().requires_grad_(), target=torch.tensor(labels), abs=False)
    torch.testing.assert_close(Saliency().attribute(f, x, one_hot(labels, 3)), theirs.detach(), atol=1e-14, rtol=1e-12)


def test_integrated_gradients_agree_with_captum_at_equal_nodes():
    f, x, labels = tanh_network(5, 3).double(), normal(4, 5), [0, 1, 2, 0]
    theirs = captum.attr.IntegratedGradients(f).attribute(
        x, baselines=0.0, target=torch.tensor(labels), n_steps=16, method="gausslegendre"
    )
    ours = IntegratedGradients(steps=16).attribute(f, x, one_hot(labels, 3))
    torch.testing.assert_close(ours, theirs.detach(), atol=1e-7, rtol=1e-6)  # captum keeps its nodes in float32
