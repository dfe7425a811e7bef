"""How often 95 % intervals cover the dense truth; ``python -m benchmarks.intervals`` prints all of it.

The matrices are those of ``covered_matrices``: no estimator exhausts them unless the spectrum lets it.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, final

import torch
from torch import Tensor

from eigengate.estimators import (
    Estimate,
    SpectralMeasure,
    block_trace,
    bootstrap_mean_interval,
    hutchpp,
    log_jackknife_interval,
    slq,
)
from eigengate.estimators.effort import Effort
from eigengate.estimators.quadrature_rules import QuadratureRules
from eigengate.estimators.weighted_kernel import kernel_functionals
from eigengate.operators import DenseOperator, GramOperator, LinearOperator
from eigengate.sweep import Spread
from tests.support.covered_matrices import jacobians, operators

SEEDS: Final = 500
_SHARED: Final = 25
STEPS: Final = Effort.steps
PROBES: Final = Effort.probes - 1
SIGNS: Final = 7
PRODUCTS: Final = 48

Statistic = Callable[[Tensor, Tensor], Tensor]


def trace(values: Tensor, weights: Tensor) -> Tensor:
    return (weights * values).sum()


def frobenius_norm(values: Tensor, weights: Tensor) -> Tensor:
    """Of a symmetric matrix with these eigenvalues."""
    return (weights * values.square()).sum().sqrt()


def root_trace(values: Tensor, weights: Tensor) -> Tensor:
    """The Frobenius norm of a matrix whose Gram matrix has these eigenvalues."""
    return (weights * values).sum().sqrt()


def second_moment(values: Tensor, weights: Tensor) -> Tensor:
    return (weights * values.square()).sum() / weights.sum()


def third_moment(values: Tensor, weights: Tensor) -> Tensor:
    return (weights * values**3).sum() / weights.sum()


def fourth_moment(values: Tensor, weights: Tensor) -> Tensor:
    return (weights * values**4).sum() / weights.sum()


def spectral_entropy(values: Tensor, weights: Tensor) -> Tensor:
    """−Σ p ln p, p = |λ|/Σ|λ|."""
    masses = values.abs()
    total = (weights * masses).sum()
    return total.log() - (weights * torch.special.xlogy(masses, masses)).sum() / total


def negative_mass(values: Tensor, weights: Tensor) -> Tensor:
    """Σ_{λ<0} |λ| / Σ |λ|, rounding not counted."""
    masses = weights * values.abs()
    return masses[values < -1e-10 * values.abs().max()].sum() / masses.sum()


DENSITY: Final = {
    f.__name__: f
    for f in (trace, frobenius_norm, second_moment, third_moment, fourth_moment, spectral_entropy, negative_mass)
}


@final
@dataclass(frozen=True)
class Coverage:
    """Of 500 intervals: the share that covers, the truth, the root mean squared error and the mean half width."""

    share: float
    truth: float
    error: float
    half_width: float

    @property
    def nearly_exact(self) -> bool:
        """Whether the interval is too narrow, relative to the truth, for rounding and third-order terms not to show."""
        return self.half_width <= 1e-5 * abs(self.truth)

    @classmethod
    def of(cls, estimates: list[Estimate], truth: float) -> "Coverage":
        intervals = [estimate.interval for estimate in estimates]
        known = [interval for interval in intervals if interval is not None]
        values = torch.tensor([e.value for e in estimates], dtype=torch.float64)
        return cls(
            share=sum(i.low <= truth <= i.high for i in known) / len(intervals),
            truth=truth,
            error=float((values - truth).square().mean().sqrt()),
            half_width=sum(i.high - i.low for i in known) / 2 / max(len(known), 1),
        )


def generators(seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(seeds)]


def measures(A: LinearOperator) -> list[SpectralMeasure]:
    """Each scouting probe vector serves 25 measures: given the scout their probe vectors are independent."""
    found = []
    for generator in generators(SEEDS // _SHARED):
        pooled = slq(A, num_steps=STEPS, num_samples=_SHARED * PROBES, generator=generator)
        pieces = zip(pieces_of(pooled.averaged), pieces_of(pooled.plain), strict=True)
        found += [replace(pooled, averaged=averaged, plain=plain) for averaged, plain in pieces]
    return found


def pieces_of(rules: QuadratureRules) -> list[QuadratureRules]:
    parts = zip(rules.nodes.split(PROBES, dim=1), rules.weights.split(PROBES, dim=1), strict=True)
    return [QuadratureRules(nodes, weights) for nodes, weights in parts]


def density_coverage(A: DenseOperator, statistics: dict[str, Statistic] = DENSITY) -> dict[str, Coverage]:
    """Of every statistic of the measures that quadrature gives."""
    found = measures(A)
    values = torch.linalg.eigvalsh(A.matrix)
    ones = torch.ones_like(values)
    return {k: Coverage.of([read(m, f) for m in found], float(f(values, ones))) for k, f in statistics.items()}


def read(measure: SpectralMeasure, statistic: Statistic) -> Estimate:
    """As audits do."""
    return (measure.within_hull() if statistic in (spectral_entropy, negative_mass) else measure).estimate(statistic)


def singular_coverage(A: DenseOperator) -> dict[str, Coverage]:
    """Of the Frobenius norm and the entropy of a rectangular matrix, through its Gram matrix."""
    found = measures(GramOperator(A))
    values = torch.linalg.svdvals(A.matrix).square()
    ones = torch.ones_like(values)
    statistics = {"frobenius_norm": root_trace, "spectral_entropy": spectral_entropy}
    return {k: Coverage.of([m.estimate(f) for m in found], float(f(values, ones))) for k, f in statistics.items()}


def hutchpp_coverage(A: DenseOperator) -> Coverage:
    found = [hutchpp(A, num_products=PRODUCTS, generator=g) for g in generators(SEEDS)]
    return Coverage.of(found, float(A.matrix.trace()))


def block_coverage(A: DenseOperator, sizes: list[int]) -> Coverage:
    found = [block_trace(A, sizes=sizes, num_samples=SIGNS, generator=g) for g in generators(SEEDS)]
    return Coverage.of(found, float(A.matrix.trace()))


POPULATIONS: Final = {
    "normal": (lambda z: z, 0.0),
    "lognormal, σ = 0.5": (lambda z: (z / 2).exp(), math.exp(1 / 8)),
    "lognormal, σ = 1": (lambda z: z.exp(), math.exp(1 / 2)),
}
# Rows of variances 4, 1, 1, 1, 1: what the summaries of their linear kernel, over n, tend to.
KERNEL: Final = {"operator_norm": 4.0, "trace": 8.0, "frobenius_norm": 20**0.5}


def mean_coverage(population: str, n: int) -> float:
    """The share of bootstrap intervals that cover the population's mean."""
    transform, truth = POPULATIONS[population]
    hits = 0
    for generator in generators(SEEDS):
        values = transform(torch.randn(n, dtype=torch.float64, generator=generator))
        interval = bootstrap_mean_interval(values, generator=generator)
        hits += interval is not None and interval.low <= truth <= interval.high
    return hits / SEEDS


def kernel_coverage(n: int) -> dict[str, float]:
    """The share of jackknife intervals that cover, per summary of a kernel matrix and for the spread of its rows."""
    scale = torch.tensor([2.0, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    hits = dict.fromkeys((*KERNEL, "spread"), 0)
    for generator in generators(SEEDS):
        x = scale * torch.randn(n, 5, dtype=torch.float64, generator=generator)
        functionals, spread = kernel_functionals(x @ x.mT), Spread.of(x)
        truths = {name: (functionals[name], n * limit) for name, limit in KERNEL.items()}
        truths["spread"] = (lambda w, spread=spread: (spread.squared(w) * n / (n - 1)).sqrt(), 8**0.5)
        for name, (functional, truth) in truths.items():
            interval = log_jackknife_interval(functional, n, device=x.device)
            hits[name] += interval is not None and interval.low <= truth <= interval.high
    return {name: count / SEEDS for name, count in hits.items()}


def numerical() -> Iterator[tuple[str, str, Coverage]]:
    """(matrix, quantity, coverage) of everything estimated from probe vectors."""
    for name, (A, sizes) in operators().items():
        yield name, "trace, Hutch++", hutchpp_coverage(A)
        yield name, "trace, tensor by tensor", block_coverage(A, sizes)
        for quantity, coverage in density_coverage(A).items():
            yield name, f"{quantity}, quadrature", coverage
    for name, J in jacobians().items():
        for quantity, coverage in singular_coverage(J).items():
            yield name, f"{quantity}, quadrature of the Gram matrix", coverage
