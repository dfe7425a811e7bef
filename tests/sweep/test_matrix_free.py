"""Products with Jacobians against the Jacobians, and what is estimated from them."""

from typing import final

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from eigengate.estimators.sample_spectra import KrylovEffort
from eigengate.operators import ParameterSpace
from eigengate.sweep import silent, sweep
from eigengate.sweep.derivatives import sweep_traced
from eigengate.sweep.matrix_free import (
    class_projection,
    input_spectra,
    leading_classes,
    parameter_spectra,
    projected_kernel,
)
from eigengate.sweep.matrix_free.input_grams import InputGrams
from eigengate.sweep.matrix_free.parameter_grams import ParameterGrams
from eigengate.sweep.traced import Traced
from tests.support import dense
from tests.support.subjects import Subject, mlp, normal, small_subject, subject_of

EXACT = {"rtol": 1e-10, "atol": 1e-12}
ROOMY = 2**30
EFFORT = KrylovEffort(block=2, tolerance=0.0, steps=2, probes=3, depth=2)


def traced_of(subject: Subject) -> Traced:
    traced = Traced.of(subject)
    assert traced is not None
    return traced


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def wide(n: int = 4, classes: int = 60) -> Subject:
    return subject_of(mlp(10, 30, classes), normal(n, 10))


@pytest.mark.parametrize("kind", ["mlp", "cnn", "attention"])
def test_products_are_those_of_the_dense_grams(kind):
    subject = small_subject(kind)
    n, Y = subject.n, normal(subject.n, 3, 4, seed=5)
    J = dense.input_jacobians(subject)
    traced = traced_of(subject)
    torch.testing.assert_close(InputGrams.of(traced, torch.arange(n)).products(Y), J @ (J.mT @ Y), **EXACT)
    T = ParameterSpace.of(subject.params).units(subject.params)
    G = (dense.parameter_jacobian(subject) * T).reshape(n, 3, -1)
    scales = {name: float(tensor.norm()) ** 2 for name, tensor in subject.params.items()}
    for i in range(n):
        found = ParameterGrams.of(traced, i, scales).products(Y[i : i + 1])
        torch.testing.assert_close(found[0], G[i] @ (G[i].mT @ Y[i]), **EXACT)


def test_a_parameter_that_does_not_act_is_no_obstacle():
    module = mlp()
    module.register_parameter("idle", nn.Parameter(torch.ones(3, dtype=torch.float64)))
    subject = subject_of(module, normal(2, 6))
    grams = ParameterGrams.of(traced_of(subject), 0, dict.fromkeys(subject.params, 1.0))
    assert grams.columns == sum(p.numel() for p in module.parameters())
    assert bool(torch.isfinite(grams.products(normal(1, 3, 1))).all())


def test_the_spectra_of_a_linear_map_are_those_of_its_matrix():
    linear = nn.Linear(50, 40).double()
    subject = subject_of(linear, normal(3, 50))
    traced, ones = traced_of(subject), dict.fromkeys(subject.params, 1.0)
    roomy = KrylovEffort(block=8, tolerance=0.0, steps=5)
    found = input_spectra(traced, roomy, memory_budget_bytes=ROOMY, generator=generator(), on_progress=silent)
    sigma = torch.linalg.svdvals(linear.weight.detach())
    torch.testing.assert_close(found.leading, sigma.square().expand(3, -1), **EXACT)
    # ∂(Wx + b)/∂(W, b) has every singular value (‖x‖² + 1)^½.
    found = parameter_spectra(traced, ones, EFFORT, generator=generator(), on_progress=silent)
    energies = subject.x.square().sum(dim=1) + 1
    torch.testing.assert_close(found.total.value, 40 * energies, **EXACT)
    torch.testing.assert_close(found.entropy.value, torch.full((3,), 40.0, dtype=torch.float64).log(), **EXACT)
    torch.testing.assert_close(found.largest.high, energies, rtol=1e-10, atol=1e-10)


def test_memory_decides_how_samples_are_batched_and_nothing_else():
    traced = traced_of(wide())
    tight, roomy = (
        input_spectra(traced, EFFORT, memory_budget_bytes=size, generator=generator(), on_progress=silent)
        for size in (2**12, ROOMY)
    )
    torch.testing.assert_close(tight.entropy.value, roomy.entropy.value, rtol=1e-8, atol=0)
    torch.testing.assert_close(tight.total.left_out, roomy.total.left_out, rtol=1e-8, atol=0)


def test_the_cost_of_input_spectra_is_linear_in_the_samples_and_in_the_layers():
    def flops(n: int, classes: int) -> int:
        traced = traced_of(wide(n, classes))
        with FlopCounterMode(display=False) as counter:
            input_spectra(traced, EFFORT, memory_budget_bytes=ROOMY, generator=generator(), on_progress=silent)
        return int(counter.get_total_flops())

    assert flops(12, 60) == pytest.approx(4 * flops(3, 60), rel=0.01)
    # Twice the outputs are at most twice the layer that makes them, not twice as many passes over everything.
    assert flops(3, 120) < 2.05 * flops(3, 60)


@final
class Calls(TorchDispatchMode):
    """How many operators run."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def test_the_cost_of_parameter_spectra_is_linear_in_the_samples_and_does_not_know_the_outputs():
    def calls(n: int, classes: int) -> int:
        subject = wide(n, classes)
        traced, ones = traced_of(subject), dict.fromkeys(subject.params, 1.0)
        with Calls() as counter:
            parameter_spectra(traced, ones, EFFORT, generator=generator(), on_progress=silent)
        return counter.count

    assert calls(6, 60) == pytest.approx(2 * calls(3, 60), rel=0.02)
    assert calls(3, 120) == calls(3, 60)


def test_projections_of_some_classes_are_exact_for_them():
    subject = wide()
    J, G = dense.input_jacobians(subject), dense.parameter_jacobian(subject).reshape(4, 60, -1)
    logits = subject.outputs(subject.params, subject.x)
    chosen = leading_classes(logits, 7)
    mean = torch.softmax(logits, dim=1).mean(dim=0)
    assert float(mean[chosen].min()) >= float(mean.sort().values[-7])
    found = sweep_traced(
        traced_of(subject),
        class_projection(chosen, 60).double(),
        with_inputs=True,
        with_kernel=True,
        memory_budget_bytes=ROOMY,
        on_progress=silent,
    )
    torch.testing.assert_close(found.inputs.jacobians, J[:, chosen], **EXACT)
    some = G[:, chosen]
    torch.testing.assert_close(found.kernel.traced, torch.einsum("icp,jcp->ij", some, some), **EXACT)


def test_the_projected_kernel_is_unbiased():
    subject = wide()
    exact = sweep(subject, memory_budget_bytes=ROOMY).kernel
    found = projected_kernel(
        traced_of(subject), probes=160, memory_budget_bytes=ROOMY, generator=generator(), on_progress=silent
    )
    assert found.num_passes == 160
    for groups, kernel in ((found.traced, exact.traced), (found.scaled_traced, exact.scaled_traced)):
        error = (groups.mean(dim=0) - kernel).abs() / (groups.std(dim=0) / len(groups) ** 0.5)
        # Ten entries in units of t with 7 degrees of freedom: above 6 once in 400 choices of seeds.
        assert float(error.max()) < 6
