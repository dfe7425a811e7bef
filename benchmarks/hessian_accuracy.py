"""Trace and density at equal numbers of products, against the dense Hessian of a network of 5,000 parameters."""

import contextlib
import io
import statistics
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from curvlinops import hutchpp_trace, lanczos_approximate_spectrum, xtrace
from curvlinops.examples import TensorLinearOperator
from hessian_eigenthings import LambdaOperator, spectral_density
from hessian_eigenthings import trace as eigenthings_trace
from pyhessian import hessian as pyhessian
from scipy.stats import wasserstein_distance
from sklearn.datasets import load_digits
from torch import Tensor, nn

from benchmarks.subjects import subject_of
from eigengate.estimators import block_trace, hutchpp, slq
from eigengate.estimators.effort import Effort
from eigengate.operators import DenseOperator, GaussNewtonOperator, HessianOperator, ParameterSpace

SEEDS = 50
TRACE_PRODUCTS = 96
STEPS, PROBES = Effort.steps, Effort.probes
Distribution = tuple[Tensor, Tensor]


def trained_perceptron() -> tuple[nn.Module, Tensor, Tensor]:
    """64-48-32-10 with smooth activations on digits: 5,018 parameters."""
    data = load_digits()
    x, y = torch.tensor(data.data[:512] / 16.0, dtype=torch.float32), torch.tensor(data.target[:512])
    model = nn.Sequential(nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 32), nn.Tanh(), nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    model.zero_grad()
    return model.eval(), x[:64], y[:64]


def trace_sides(model: nn.Module, x: Tensor, y: Tensor, H: Tensor, GN: Tensor) -> dict[str, Callable[[int], float]]:
    """Seed to estimate, each by ``TRACE_PRODUCTS`` products."""
    whole, rest = DenseOperator(H, self_adjoint=True), DenseOperator(H - GN, self_adjoint=True)
    sizes = [p.numel() for p in model.parameters()]
    # A product with the rest of H is one with H and one with the Gauss-Newton matrix.
    samples = TRACE_PRODUCTS // (2 * len(sizes))
    known = float(GN.double().trace())
    dense, matvec = TensorLinearOperator(H), LambdaOperator(lambda v: H @ v, len(H))

    def seeded(estimate: Callable[[], object]) -> Callable[[int], float]:
        def run(seed: int) -> float:
            torch.manual_seed(seed)
            return float(estimate())

        return run

    def by_pyhessian() -> float:
        model.zero_grad()
        with contextlib.redirect_stdout(io.StringIO()):
            return float(np.mean(pyhessian(model, F.cross_entropy, (x, y), cuda=False).trace(TRACE_PRODUCTS, tol=0.0)))

    def generator(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    return {
        "ours, with the kernel": lambda seed: (
            known + block_trace(rest, sizes=sizes, num_samples=samples, generator=generator(seed)).value
        ),
        "ours, without": lambda seed: hutchpp(whole, num_products=TRACE_PRODUCTS, generator=generator(seed)).value,
        "curvlinops Hutch++": seeded(lambda: hutchpp_trace(dense, TRACE_PRODUCTS)),
        "curvlinops XTrace": seeded(lambda: xtrace(dense, TRACE_PRODUCTS)),
        "eigenthings Hutch++": lambda seed: eigenthings_trace(matvec, num_matvecs=TRACE_PRODUCTS, seed=seed).estimate,
        "pyhessian": seeded(by_pyhessian),
    }


def density_sides(H: Tensor) -> dict[str, Callable[[int], Distribution]]:
    """Seed to (points, probabilities), each by STEPS · PROBES products; PyHessian's calls torch.eig, now gone."""
    dense, matvec = TensorLinearOperator(H), LambdaOperator(lambda v: H @ v, len(H))
    ends = torch.linalg.eigvalsh(H.double())[[0, -1]].tolist()

    def ours(seed: int) -> Distribution:
        measure = slq(
            DenseOperator(H, self_adjoint=True),
            num_steps=STEPS,
            num_samples=PROBES - 1,
            generator=torch.Generator().manual_seed(seed),
        )
        assert measure.num_products == STEPS * PROBES
        return measure.atoms

    def eigenthings(seed: int) -> Distribution:
        # Runs use seed, seed + 1, ...: far apart, so that no two estimates share one.
        found = spectral_density(matvec, num_runs=PROBES, lanczos_steps=STEPS, seed=1000 * seed)
        return found.raw_eigenvalues.flatten(), found.raw_weights.flatten()

    def curvlinops(seed: int) -> Distribution:
        torch.manual_seed(seed)
        # Given both ends, which it would else spend products on.
        return lanczos_approximate_spectrum(dense, STEPS, num_repeats=PROBES, boundaries=(ends[0], ends[1]))

    return {"ours": ours, "eigenthings, raw nodes": eigenthings, "curvlinops, smoothed": curvlinops}


def compare_accuracy() -> None:
    torch.manual_seed(0)
    model, x, y = trained_perceptron()
    traced = subject_of(model, x)
    subject = type(traced)(traced.model, (x,), y, labels_given=True, loss=traced.loss)
    assert list(ParameterSpace.of(subject.params).sizes.values()) == [p.numel() for p in model.parameters()]
    H, GN = HessianOperator.of(subject).materialize(), GaussNewtonOperator.of(subject).materialize()
    eigenvalues = torch.linalg.eigvalsh(H.double())
    truth, mass = float(eigenvalues.sum()), float(eigenvalues.abs().mean())
    print(f"trace by {TRACE_PRODUCTS} products, root mean square of the relative error over {SEEDS} seeds")
    for name, run in trace_sides(model, x, y, H, GN).items():
        errors = [(run(seed) / truth - 1) ** 2 for seed in range(SEEDS)]
        print(f"  {name:<24} {statistics.mean(errors) ** 0.5:.2e}")
    print(f"density by {STEPS} x {PROBES} products: Wasserstein distance over mean |λ|; error of ∫|λ|, ∫λ², ∫|λ|^½")
    for name, density in density_sides(H).items():
        scores = [_scores(density(seed), eigenvalues, mass) for seed in range(SEEDS)]
        print(f"  {name:<24} " + "  ".join(f"{statistics.mean(column):.2e}" for column in zip(*scores, strict=True)))


def _scores(found: Distribution, eigenvalues: Tensor, mass: float) -> list[float]:
    points, weights = (t.double() for t in found)
    weights = weights / weights.sum()
    scores = [wasserstein_distance(points.numpy(), eigenvalues.numpy(), weights.numpy()) / mass]
    for power in (1.0, 2.0, 0.5):
        truth = eigenvalues.abs().pow(power).mean()
        scores.append(abs(float((weights * points.abs().pow(power)).sum() / truth) - 1))
    return scores


if __name__ == "__main__":
    compare_accuracy()
