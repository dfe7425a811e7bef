"""The spectral penalties against dense Jacobians, statistics and finite differences, and one short training."""

import math
from collections.abc import Callable

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from eigengate.errors import ConfigError, ShapeMismatchError
from eigengate.regularizers import jacobian_frobenius, jacobian_spectral_entropy, jacobian_spectral_norm
from tests.support.attribution_subjects import normal, tanh_network


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dense(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """J_i for every row, [n, C, d], by plain reverse mode."""
    rows = [torch.autograd.functional.jacobian(lambda z: f(z.unsqueeze(0)).squeeze(0), sample) for sample in x]
    return torch.stack(rows).flatten(2)


@pytest.fixture
def network() -> nn.Sequential:
    return tanh_network(6, 4).double()


@pytest.mark.parametrize("projections", [4, 9])
def test_as_many_projections_as_outputs_give_the_exact_frobenius_norm(network, projections):
    x = normal(5, 6)
    expected = dense(network, x).square().sum() / 5
    ours = jacobian_frobenius(network, x, num_projections=projections, generator=generator())
    torch.testing.assert_close(ours, expected, atol=0, rtol=1e-12)


@pytest.mark.parametrize("projections", [1, 2])
def test_fewer_projections_are_right_on_average(network, projections):
    x, g = normal(5, 6), generator()
    with torch.no_grad():
        draws = torch.stack(
            [jacobian_frobenius(network, x, num_projections=projections, generator=g) for _ in range(800)]
        )
    expected = dense(network, x).square().sum() / 5
    assert abs(draws.mean() - expected) < 4 * draws.std() / 800**0.5
    assert draws.std() > 0.01 * expected  # an estimate, not the exact route in disguise


def test_more_projections_spread_less(network):
    x, g = normal(5, 6), generator()
    with torch.no_grad():
        spreads = [
            torch.stack([jacobian_frobenius(network, x, num_projections=m, generator=g) for _ in range(200)]).std()
            for m in (1, 3)
        ]
    # Independent projections would gain √3; orthonormal ones gain 3 at m = 3 of 4, where they miss one direction only.
    assert spreads[1] < spreads[0] / 2.2


def test_the_spectral_norm_is_the_largest_singular_value_squared(network):
    x = normal(5, 6)
    expected = torch.linalg.svdvals(dense(network, x))[:, 0].square().mean()
    ours = jacobian_spectral_norm(network, x, num_iterations=200, generator=generator())
    torch.testing.assert_close(ours, expected, atol=0, rtol=1e-10)


def test_power_iteration_approaches_from_below(network):
    x = normal(5, 6)
    expected = torch.linalg.svdvals(dense(network, x))[:, 0].square().mean()
    values = torch.stack(
        [jacobian_spectral_norm(network, x, num_iterations=k, generator=generator()) for k in (0, 1, 3, 10)]
    )
    assert bool((values.diff() > 0).all())
    assert bool((values <= expected * (1 + 1e-12)).all())


def test_the_entropy_is_that_of_the_dense_spectrum(network):
    x = normal(5, 6)
    energies = torch.linalg.svdvals(dense(network, x)).square()
    p = energies / energies.sum(dim=1, keepdim=True)
    expected = -(p * p.log()).sum(dim=1).mean()
    torch.testing.assert_close(jacobian_spectral_entropy(network, x), expected, atol=1e-12, rtol=0)


def test_equal_singular_values_have_the_largest_entropy_and_rank_one_has_none():
    x = normal(3, 4)
    even, single = torch.eye(4).double(), torch.outer(normal(4), normal(4, seed=1))
    assert float(jacobian_spectral_entropy(lambda z: z @ even, x)) == pytest.approx(math.log(4), abs=1e-13)
    assert float(jacobian_spectral_entropy(lambda z: z @ single, x)) == pytest.approx(0, abs=1e-12)


def test_the_entropy_does_not_see_the_scale(network):
    x = normal(5, 6)
    scaled = jacobian_spectral_entropy(lambda z: 1e-3 * network(z), x)
    torch.testing.assert_close(scaled, jacobian_spectral_entropy(network, x), atol=1e-12, rtol=0)


PENALTIES: dict[str, Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]] = {
    "frobenius": lambda f, x: jacobian_frobenius(f, x, num_projections=2, generator=generator()),
    "frobenius_exact": lambda f, x: jacobian_frobenius(f, x, num_projections=4, generator=generator()),
    # 60 steps: the derivative holds u fixed, which is right at the singular vector only.
    "spectral_norm": lambda f, x: jacobian_spectral_norm(f, x, num_iterations=60, generator=generator()),
    "entropy": lambda f, x: jacobian_spectral_entropy(f, x),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_gradients_agree_with_finite_differences(name):
    x, second = normal(3, 5), normal(4, 6, seed=2)

    def penalty(first: Tensor) -> Tensor:
        return PENALTIES[name](lambda z: torch.tanh(z @ first.T) @ second.T, x)

    first = normal(6, 5, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(penalty, (first,), eps=1e-6, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", PENALTIES)
def test_gradients_reach_the_parameters_of_a_module_and_leave_no_trace(name, network):
    x = normal(5, 6)
    PENALTIES[name](network, x).backward()
    gradient = network[0].weight.grad
    assert gradient is not None
    assert float(gradient.norm()) > 0
    assert x.grad is None


@pytest.mark.parametrize("name", PENALTIES)
def test_a_jacobian_without_full_rank_has_finite_gradients(name):
    network = tanh_network(6, 4)  # float32; the rows of a softmax Jacobian add up to zero
    PENALTIES[name](lambda z: torch.softmax(network(z), dim=1), normal(5, 6, dtype=torch.float32)).backward()
    assert all(
        bool(parameter.grad.isfinite().all()) for parameter in network.parameters() if parameter.grad is not None
    )


@pytest.mark.parametrize("name", PENALTIES)
def test_a_zero_jacobian_costs_nothing_and_has_finite_gradients(name):
    weight = torch.zeros(4, 6, dtype=torch.float64, requires_grad=True)
    penalty = PENALTIES[name](lambda z: z @ weight.T, normal(5, 6))
    penalty.backward()
    assert penalty.item() == 0
    assert bool(weight.grad.isfinite().all())


@pytest.mark.parametrize("name", PENALTIES)
def test_the_same_seed_gives_the_same_digits_and_global_randomness_is_left_alone(name, network):
    state = torch.random.get_rng_state()
    x = normal(5, 6)
    assert torch.equal(PENALTIES[name](network, x), PENALTIES[name](network, x))
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", PENALTIES)
def test_images_are_penalised_like_flat_inputs(name, network):
    x = normal(5, 1, 2, 3)
    torch.testing.assert_close(
        PENALTIES[name](lambda z: network(z.flatten(1)), x), PENALTIES[name](network, x.flatten(1)), atol=0, rtol=1e-12
    )


def test_senseless_settings_are_refused(network):
    x = normal(5, 6)
    with pytest.raises(ConfigError, match="num_projections=0"):
        jacobian_frobenius(network, x, num_projections=0, generator=generator())
    with pytest.raises(ConfigError, match="num_iterations=-1"):
        jacobian_spectral_norm(network, x, num_iterations=-1, generator=generator())
    with pytest.raises(ShapeMismatchError, match=r"shape \(5,\)"):
        jacobian_spectral_entropy(lambda z: network(z).sum(dim=1), x)


def _trained(x: Tensor, y: Tensor, weight: float) -> nn.Sequential:
    network, g = tanh_network(64, 10, width=32), generator()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(250):
        batch = torch.randint(len(x), (128,), generator=g)
        loss = F.cross_entropy(network(x[batch]), y[batch])
        if weight:
            loss = loss + weight * jacobian_frobenius(network, x[batch], generator=g)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def test_training_with_the_penalty_flattens_the_network_at_little_cost_in_accuracy():
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels)
    plain, penalised = (_trained(x[:1400], y[:1400], weight) for weight in (0.0, 0.01))
    with torch.no_grad():
        norms = [
            float(jacobian_frobenius(f, x[1400:], num_projections=10, generator=generator()))
            for f in (plain, penalised)
        ]
        accuracies = [float((f(x[1400:]).argmax(dim=1) == y[1400:]).float().mean()) for f in (plain, penalised)]
    assert norms[1] < norms[0] / 2
    assert accuracies[1] > accuracies[0] - 0.03
