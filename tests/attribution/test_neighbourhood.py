"""Perturbed copies: of the promised size, and each independent of who else is asked for."""

import pytest
import torch

from eigengate.attribution import Neighbourhood, spread
from eigengate.attribution.perturbations import Gaussian, Perturbation, Uniform
from tests.support.attribution_subjects import normal


def stream(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(sum(ord(c) * 31**i for i, c in enumerate(name)))


def neighbourhood(x: torch.Tensor, perturbation: Perturbation | None = None) -> Neighbourhood:
    return Neighbourhood(x, (0.05, 0.1, 0.2), 4, stream, perturbation or Gaussian())


def all_rows(copies: Neighbourhood) -> torch.Tensor:
    return torch.arange(torch.Size(copies.shape).numel())


def test_spread_is_the_root_mean_square_deviation_per_feature():
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])  # δ_x = 1, d = 2
    assert spread(x) == pytest.approx(0.5**0.5)
    assert spread(x + 100) == pytest.approx(0.5**0.5, rel=1e-5)
    assert spread(x[:1]) == 0


@pytest.mark.parametrize("perturbation", [Gaussian(), Uniform()], ids=lambda p: p.name)
def test_a_direction_has_mean_zero_and_variance_one(perturbation):
    z = perturbation.draw(torch.empty(200, 200), torch.Generator().manual_seed(0))
    assert abs(float(z.mean())) < 4 / 200  # four standard errors
    assert float(z.var()) == pytest.approx(1, abs=4 * (2 / 40_000) ** 0.5)


def test_uniform_noise_stays_in_its_cube():
    z = Uniform().draw(torch.empty(200, 200), torch.Generator().manual_seed(0))
    assert float(z.abs().max()) <= 3**0.5
    assert float(z.abs().max()) > 0.999 * 3**0.5


@pytest.mark.parametrize("perturbation", [Gaussian(), Uniform()], ids=lambda p: p.name)
def test_noise_of_relative_size_s_is_s_times_the_distance_between_samples_and_their_mean(perturbation):
    x = 5 + 3 * normal(6, 1, 30, 30)
    copies = neighbourhood(x, perturbation)
    natural = float((x - x.mean(dim=0)).flatten(1).square().sum(dim=1).mean().sqrt())
    moved = (copies.copies(all_rows(copies)).reshape(6, 4, 3, -1) - x.reshape(6, 1, 1, -1)).norm(dim=3)
    # 900 features: the length of one noise vector varies by 1/√(2·900) = 2.4 %, hence five times that.
    torch.testing.assert_close(
        moved / natural, torch.tensor([0.05, 0.1, 0.2]).double().expand(6, 4, 3), rtol=0.12, atol=0
    )


def test_all_sizes_share_a_direction_and_no_two_draws_do():
    x = normal(3, 5)
    copies = neighbourhood(x)
    moved = copies.copies(all_rows(copies)).reshape(3, 4, 3, 5) - x.reshape(3, 1, 1, 5)
    torch.testing.assert_close(moved[:, :, 2], 4 * moved[:, :, 0], atol=1e-12, rtol=1e-10)
    directions = moved[:, :, 0].reshape(12, 5)
    assert len(torch.unique(directions, dim=0)) == 12


def test_a_copy_does_not_depend_on_the_batch_it_is_made_in():
    copies = neighbourhood(normal(3, 5))
    rows = all_rows(copies)
    together = copies.copies(rows)
    assert torch.equal(together, torch.cat([copies.copies(rows[i : i + 1]) for i in rows]))
    shuffled = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    assert torch.equal(together[shuffled], copies.copies(rows[shuffled]))


def test_a_row_knows_its_sample_draw_and_size():
    copies = neighbourhood(normal(3, 5))
    row = copies.row(2, 1, 0)
    assert row.tolist() == [(2 * 4 + 1) * 3]
    assert copies.samples(row).tolist() == [2]
