"""The spectrum of a self-adjoint operator: all of it, or its ends, trace and masses."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.contract import Interval, Outcome
from eigengate.estimators._hutchpp import hutchpp
from eigengate.estimators._lanczos import Ends, ExtremeEigenpairs, lanczos
from eigengate.estimators._slq import slq
from eigengate.estimators.effort import Effort
from eigengate.estimators.estimate import Estimate
from eigengate.estimators.resampling import LEVEL
from eigengate.estimators.spectral_measure import SpectralMeasure, Statistic
from eigengate.operators import DenseOperator, LinearOperator

_FULL: Final = Effort()


@final
@dataclass(frozen=True)
class Bounded:
    """A number with its numerical interval, how it was computed and how that went."""

    value: float
    interval: Interval | None
    method: str
    outcome: Outcome = "ok"

    def mapped(self, function: Callable[[float], float]) -> "Bounded":
        """A monotone function of the number and of its interval's ends."""
        interval = self.interval
        if interval is not None:
            low, high = sorted((function(interval.low), function(interval.high)))
            interval = Interval(low=low, high=high, level=interval.level)
        return replace(self, value=function(self.value), interval=interval)


@final
@dataclass(frozen=True)
class Curvature:
    """What is known of a spectrum.

    Attributes:
        lambda_max: The largest eigenvalue.
        lambda_min: The smallest one.
        trace: Σλ.
        negative_mass: Σ_{λ<−tol} |λ| / Σ|λ|, tol = √N·eps·max|λ|; in [0, 1].
        spectral_entropy: −Σ p ln p, p = |λ|/Σ|λ|, in nats.
        top: Unit eigenvector of ``lambda_max`` [N]; ``bottom`` of ``lambda_min``.
        eigenvalues: Descending; all N of them if ``complete``, else those found.
    """

    lambda_max: Bounded
    lambda_min: Bounded
    trace: Bounded
    negative_mass: Bounded
    spectral_entropy: Bounded
    top: Float[Tensor, " N"]
    bottom: Float[Tensor, " N"]
    eigenvalues: Float[Tensor, " k"]
    complete: bool


def dense_curvature(matrix: Float[Tensor, "N N"]) -> Curvature:
    """Everything from the eigendecomposition in float64 of a matrix that was computed in its own dtype."""
    method = "dense eigendecomposition"
    eps = torch.finfo(matrix.dtype).eps
    if not bool(torch.isfinite(matrix).all()):
        return _undefined(DenseOperator(matrix), method)
    A = matrix.double()
    values, vectors = torch.linalg.eigh((A + A.mT) / 2)
    weights = torch.ones_like(values)
    tolerance = len(values) ** 0.5 * eps * float(values.abs().max())

    def exact(value: Tensor) -> Bounded:
        return bounded_by(Estimate(float(value), 0.0, 0.0, 0), method)

    return Curvature(
        lambda_max=exact(values[-1]),
        lambda_min=exact(values[0]),
        trace=exact(values.sum()),
        negative_mass=exact(_negative_mass(values, weights, tolerance)),
        spectral_entropy=exact(_entropy(values, weights)),
        top=vectors[:, -1],
        bottom=vectors[:, 0],
        eigenvalues=values.flip(0),
        complete=True,
    )


def written_out_curvature(A: LinearOperator) -> Curvature:
    """The same from N products with an operator; where those have an error, the ends and the trace have an interval.

    Columns with errors of at most ``precision`` · ‖A e_j‖ make an error E with ‖E‖_F ≤ ``precision`` · ‖A‖_F. By Weyl's
    inequality it moves an eigenvalue by no more than that, and the trace by no more than √N times it.
    """
    matrix = A.materialize()
    found, precision = dense_curvature(matrix), A.signature.precision
    if precision is None or found.lambda_max.interval is None:
        return found
    error = precision * float(matrix.double().norm())
    method = f"{found.lambda_max.method} of {A.shape[0]} products by {A.signature.products}"

    def within(number: Bounded, half: float) -> Bounded:
        low, high = number.value - half, number.value + half
        return replace(number, interval=Interval(low=low, high=high, level=LEVEL), method=method)

    return replace(
        found,
        lambda_max=within(found.lambda_max, error),
        lambda_min=within(found.lambda_min, error),
        trace=within(found.trace, len(matrix) ** 0.5 * error),
        negative_mass=replace(found.negative_mass, interval=None),
        spectral_entropy=replace(found.spectral_entropy, interval=None),
    )


def iterative_curvature(
    A: LinearOperator,
    *,
    start: Float[Tensor, " N"] | None,
    trace: Bounded | None = None,
    quadrature: SpectralMeasure | None = None,
    memory_budget_bytes: int,
    generator: torch.Generator,
    effort: Effort = _FULL,
) -> Curvature:
    """Both ends by Lanczos, the trace by Hutch++, masses by quadrature.

    Args:
        A: Self-adjoint operator.
        start: A vector near the top eigenvectors.
        trace: Where the caller knows a better way to it.
        quadrature: The spectral measure that masses are read from; without one they stay undefined.
        memory_budget_bytes: What the Lanczos basis is kept within.
        generator: Draws start and probe vectors.
        effort: What to aim for, and products at most.
    """
    room = memory_budget_bytes // (4 * A.shape[0] * torch.finfo(A.dtype).bits // 8)
    pairs = lanczos(
        A,
        ends=Ends(largest=1, smallest=1),
        start=start,
        tolerance=effort.accuracy,
        max_products=effort.ends,
        max_basis=max(8, min(96, room)),
        generator=generator,
    )
    if pairs.outcome == "non_finite":
        return _undefined(A, "Lanczos")
    lanczos_method = _lanczos_method(A, pairs)
    if trace is None:
        estimate = hutchpp(A, num_products=max(effort.trace // 3, 2) * 3, generator=generator)
        trace = bounded_by(estimate, f"Hutch++, {estimate.num_products} products")
    found = torch.cat([pairs.largest.values, pairs.smallest.values])
    tolerance = A.shape[0] ** 0.5 * torch.finfo(A.dtype).eps * float(found.abs().max())
    return Curvature(
        lambda_max=Bounded(float(found[0]), pairs.largest.interval(), lanczos_method, pairs.outcome),
        lambda_min=Bounded(float(found[1]), pairs.smallest.interval(), lanczos_method, pairs.outcome),
        trace=trace,
        negative_mass=_integrated(
            quadrature, lambda nodes, weights: _negative_mass(nodes, weights, tolerance), at_most=1.0
        ),
        spectral_entropy=_integrated(quadrature, _entropy, at_most=math.log(A.shape[0])),
        top=pairs.largest.vectors[:, 0],
        bottom=pairs.smallest.vectors[:, 0],
        eigenvalues=found,
        complete=False,
    )


def _lanczos_method(A: LinearOperator, pairs: ExtremeEigenpairs) -> str:
    """How both ends were found, and beyond what no eigenvalue lies."""
    how = f" by {A.signature.products}" if A.signature.products else ""
    outside = f"all eigenvalues in [{pairs.bounds.lower:.3g}, {pairs.bounds.upper:.3g}] with probability {LEVEL:g}"
    return f"Lanczos, {pairs.num_products} products{how}; {outside}"


def bounded_by(estimate: Estimate, method: str) -> Bounded:
    """The estimate with its 95 % interval; NaN stands for a ratio of zeros: undefined, not wrong."""
    undefined = estimate.value != estimate.value
    return Bounded(estimate.value, estimate.interval, method, "not_applicable" if undefined else estimate.outcome)


def quadrature(
    A: LinearOperator,
    generator: torch.Generator,
    on_probe: Callable[[int, int], None] = lambda done, total: None,
    effort: Effort = _FULL,
    *,
    memory_budget_bytes: int = 2**30,
) -> SpectralMeasure:
    """The spectral measure from which masses are read; Krylov bases held together take a quarter of the budget."""
    return slq(
        A,
        num_steps=effort.steps,
        num_samples=effort.probes - 1,
        generator=generator,
        on_probe=on_probe,
        basis_bytes=memory_budget_bytes // 4,
    )


def _integrated(measure: SpectralMeasure | None, statistic: Statistic, *, at_most: float) -> Bounded:
    """A statistic that lies between zero and ``at_most``, as its interval then does."""
    if measure is None:
        return Bounded(float("nan"), None, "", "not_applicable")
    _, probes, steps = measure.plain.nodes.shape
    method = f"stochastic Lanczos quadrature, {probes} probes of {steps} steps, {measure.num_products} products"
    found = bounded_by(measure.within_hull().estimate(statistic), method)
    if found.interval is None:
        return found
    value, first, last = (min(max(end, 0.0), at_most) for end in (found.value, found.interval.low, found.interval.high))
    return replace(found, value=value, interval=Interval(low=first, high=last, level=found.interval.level))


def _undefined(A: LinearOperator, method: str) -> Curvature:
    nan = Bounded(float("nan"), None, method, "non_finite")
    nowhere = torch.full((A.shape[0],), torch.nan, dtype=torch.float64, device=A.device)
    return Curvature(nan, nan, nan, nan, nan, nowhere, nowhere, nowhere[:0], complete=False)


def _negative_mass(values: Tensor, weights: Tensor, tolerance: float) -> Tensor:
    masses = weights * values.abs()
    return masses[values < -tolerance].sum() / masses.sum()


def _entropy(values: Tensor, weights: Tensor) -> Tensor:
    """Of |λ|, each counted ``weights`` times; ln of the mass minus its mean log."""
    masses = weights * values.abs()
    logs = torch.where(values == 0, 0.0, values.abs().clamp_min(torch.finfo(values.dtype).tiny).log())
    return masses.sum().log() - (masses * logs).sum() / masses.sum()
