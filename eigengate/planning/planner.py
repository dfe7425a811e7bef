"""Which route every quantity takes, within the budget."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, final

from eigengate.contract import AuditConfig, AuditPlan, PlannedStep, Quantity
from eigengate.estimators.effort import Effort
from eigengate.planning.hessian_budget import gauss_newton_products_of, hessian_effort, products_of
from eigengate.planning.layer_budget import is_written_out, layer_effort, layer_products
from eigengate.planning.workload import BACKWARD, GRADIENT, Workload

DEFAULT_MEMORY_BUDGET: Final = 2 * 2**30
# Counted, not timed, so that the same audit takes the same routes on every machine: minutes on two cores.
DEFAULT_FLOPS: Final = 2e13
DENSE_HESSIAN: Final = 1500
"""Up to so many parameters the whole Hessian costs less than looking at its ends, trace and masses separately."""
MATRIX_FREE_PASSES: Final = 146
"""Backward passes that estimates of Jacobians and kernel take, however many outputs there are."""
_FROM_SWEEP: Final[tuple[Quantity, ...]] = ("input_jacobian", "parameter_jacobian", "ntk", "gauss_newton")
_SWEEP_SHARE: Final = 0.5
_HESSIAN_SHARE: Final = 0.4  # of what the sweep leaves, where attributions are wanted too
_BASIS_SHARE: Final = 0.5  # of the memory budget, for a Krylov space of the quadrature
_GAUSS_NEWTON_SHARE: Final = 0.65  # products with the Gauss-Newton matrix to those with the Hessian of one effort
_WHOLE_SHARE: Final = 0.5  # of the products with the Hessian, where its layers are wanted too
_FEWEST_ATTRIBUTED: Final = 2
_EVALUATIONS: Final[Mapping[str, int]] = {"saliency": 1, "integrated_gradients": 16, "smoothgrad": 16}


@final
@dataclass(frozen=True)
class Plan:
    """What has been decided.

    Attributes:
        exact_sweep: Whether Jacobians and kernel come from a backward pass for every output.
        dense_hessian: Whether the Hessian is written out.
        hessian: Products it gets otherwise.
        layers: Products every layer's block of it gets otherwise; None where nobody asked for layers.
        attributed: How many samples are attributed, the first ones.
        report: The same for readers.
    """

    exact_sweep: bool
    dense_hessian: bool
    hessian: Effort
    layers: Effort | None
    attributed: int
    report: AuditPlan


def plan(workload: Workload, config: AuditConfig, flops_per_second: float | None = None) -> Plan:
    """Cut an audit to its budget: ``time_budget_s`` times the speed where both are given, else a number of operations.

    Exact routes are taken while they fit: Jacobians and kernel may take half of it, or as much as an estimate would
    take; the Hessian and the attributions share what is left.
    """
    seconds, speed = config.time_budget_s, flops_per_second
    budget = DEFAULT_FLOPS if seconds is None or speed is None else seconds * speed
    wanted = set(config.quantities)
    sweep = _sweep_flops(workload, workload.outputs) if wanted & set(_FROM_SWEEP) else 0.0
    exact = workload.outputs <= MATRIX_FREE_PASSES or sweep <= _SWEEP_SHARE * budget
    left = max(budget - (sweep if exact else _sweep_flops(workload, MATRIX_FREE_PASSES)), 0.0)
    share = _HESSIAN_SHARE if "attribution" in wanted else 1.0
    price = workload.hessian_product
    if "gauss_newton" in wanted and not exact:
        price += _GAUSS_NEWTON_SHARE * workload.gauss_newton_product
    hessian, layers = _hessian_efforts(workload, config, share * left / max(price, 1.0))
    room = ((1 - share) if "hessian" in wanted else 1.0) * left
    attributed = int(room / max(_attribution_flops(workload, config), 1.0))
    attributed = min(workload.samples, max(_FEWEST_ATTRIBUTED, attributed))
    dense = workload.parameters <= DENSE_HESSIAN
    steps = _Steps(workload, config, exact, dense, hessian, layers, attributed, flops_per_second)
    report = AuditPlan(
        budget_flops=budget,
        budget_bytes=_memory(config),
        flops_per_second=flops_per_second,
        steps=tuple(steps.all()),
    )
    return Plan(exact, dense, hessian, layers, attributed, report)


def _memory(config: AuditConfig) -> int:
    return config.memory_budget_bytes or DEFAULT_MEMORY_BUDGET


def _sweep_flops(workload: Workload, passes: int) -> float:
    """Backward passes, and as much again for the products of gradients."""
    return (2 * BACKWARD * passes + 1) * workload.forward * workload.samples


def _hessian_efforts(workload: Workload, config: AuditConfig, products: float) -> tuple[Effort, Effort | None]:
    """Of the whole matrix, and of every layer's block where they are asked for."""
    steps = int(_BASIS_SHARE * _memory(config) / max(workload.parameters * workload.itemsize, 1))
    whole = _WHOLE_SHARE * products if config.hessian.per_layer else products
    effort = hessian_effort(whole, config.accuracy, most_steps=steps)
    layers = layer_effort(products - whole, workload.layers, config.accuracy) if config.hessian.per_layer else None
    return effort, layers


def _attribution_flops(workload: Workload, config: AuditConfig) -> float:
    """Of one sample: every method at the sample and at its noisy copies."""
    wanted = config.attribution
    copies = 1 + len(wanted.noise_sizes) * wanted.draws
    return GRADIENT * workload.forward * copies * sum(_EVALUATIONS[method] for method in wanted.methods)


@final
@dataclass(frozen=True)
class _Steps:
    """The decisions, quantity by quantity, as the report tells them."""

    workload: Workload
    config: AuditConfig
    exact: bool
    dense: bool
    hessian: Effort
    layers: Effort | None
    attributed: int
    flops_per_second: float | None

    def all(self) -> Iterator[PlannedStep]:
        swept = [quantity for quantity in self.config.quantities if quantity in _FROM_SWEEP]
        shared = [quantity for quantity in swept if self.exact or quantity != "gauss_newton"]
        if shared:
            yield self._sweep(", ".join(shared))
        if shared != swept:
            yield self._gauss_newton()
        if "hessian" in self.config.quantities:
            yield self._hessian()
            if self.layers is not None:
                yield self._layers(self.layers)
        if "attribution" in self.config.quantities:
            yield self._attribution()

    def _sweep(self, quantity: str) -> PlannedStep:
        work = self.workload
        passes = work.outputs if self.exact else MATRIX_FREE_PASSES
        route = "a backward pass for every output" if self.exact else "random projections of the outputs"
        kept = 3 * work.samples * work.values + passes * work.samples * (work.values + work.dimension)
        # What does not fit is done in rounds.
        size = min(kept * work.itemsize, _memory(self.config))
        return self._step(quantity, route, self.exact, work.samples, passes, _sweep_flops(work, passes), size)

    def _gauss_newton(self) -> PlannedStep:
        work, effort = self.workload, self.hessian
        products = gauss_newton_products_of(effort)
        route = (
            f"Lanczos up to {effort.ends} products, {effort.trace} for the trace, quadrature with "
            f"{effort.probes} probes of {effort.steps} steps"
        )
        flops = products * work.gauss_newton_product
        size = min(4 * effort.ends * work.parameters * work.itemsize, _memory(self.config))
        return self._step("gauss_newton", route, False, work.samples, products, flops, size)

    def _hessian(self) -> PlannedStep:
        work, budget = self.workload, self.hessian
        products = work.parameters if self.dense else products_of(budget)
        route = (
            "the whole matrix, column by column"
            if self.dense
            else f"Lanczos up to {budget.ends} products twice, {budget.trace} for each trace, quadrature with "
            f"{budget.probes} probes of {budget.steps} steps"
        )
        held = work.parameters * (work.parameters if self.dense else 4 * min(budget.ends, 96))
        flops = products * work.hessian_product
        # Krylov spaces are restarted where they do not fit.
        size = min(held * work.itemsize, _memory(self.config))
        return self._step("hessian", route, self.dense, work.samples, products, flops, size)

    def _layers(self, effort: Effort) -> PlannedStep:
        work, sizes = self.workload, self.workload.layers
        exact = self.dense or all(is_written_out(effort, size) for size in sizes)
        products = 0 if self.dense else sum(layer_products(effort, size) for size in sizes)
        small = sum(is_written_out(effort, size) for size in sizes)
        route = (
            f"{len(sizes)} blocks of the whole matrix"
            if self.dense
            else f"{small} of {len(sizes)} blocks column by column, of the others Lanczos up to {effort.ends} products "
            f"and {effort.trace} for the trace"
        )
        columns = (size if is_written_out(effort, size) else 4 * min(effort.ends, 96) for size in sizes)
        held = max((size * count for size, count in zip(sizes, columns, strict=True)), default=0) * work.itemsize
        return self._step(
            "hessian by layer", route, exact, work.samples, products, products * work.hessian_product, held
        )

    def _attribution(self) -> PlannedStep:
        work, wanted = self.workload, self.config.attribution
        copies = 1 + len(wanted.noise_sizes) * wanted.draws
        passes = copies * sum(_EVALUATIONS[method] for method in wanted.methods)
        route = f"{', '.join(wanted.methods)} at every sample and at {copies - 1} noisy copies"
        flops = self.attributed * _attribution_flops(work, self.config)
        return self._step("attribution", route, False, self.attributed, passes, flops, 3 * work.values * work.itemsize)

    def _step(
        self, quantity: str, route: str, exact: bool, samples: int, passes: int, flops: float, size: int
    ) -> PlannedStep:
        seconds = None if self.flops_per_second is None else flops / self.flops_per_second
        return PlannedStep(
            quantity=quantity,
            route=route,
            exact=exact,
            samples=samples,
            passes=passes,
            flops=flops,
            bytes=size,
            seconds=seconds,
        )
