"""The sweep against dense Jacobians, in one piece and in tiles."""

import pytest
import torch
from torch import Tensor, nn

from eigengate.errors import BudgetExceededError
from eigengate.operators import ParameterSpace
from eigengate.sweep import sweep
from eigengate.sweep.gram import row_products
from eigengate.sweep.traced import Traced
from tests.support import dense
from tests.support.subjects import in_dtype, mlp, normal, small_subject, subject_of

EXACT = {"rtol": 1e-10, "atol": 1e-12}
ROOMY = 2**30
# Little enough to need many tiles and rounds, per kind of network.
TIGHT = {"mlp": 2**10, "cnn": 2**14, "attention": 2**14}


def blocks(matrix: Tensor, n: int) -> Tensor:
    """[n, C, n, C] of an [nC, nC] matrix."""
    return matrix.reshape(n, len(matrix) // n, n, -1)


@pytest.mark.parametrize("kind", ["mlp", "cnn", "attention"])
@pytest.mark.parametrize("tight", [False, True], ids=["one tile", "many tiles"])
def test_the_sweep_is_its_dense_reference(kind, tight):
    subject = small_subject(kind)
    swept = sweep(subject, memory_budget_bytes=TIGHT[kind] if tight else ROOMY)
    J, G = dense.input_jacobians(subject), dense.parameter_jacobian(subject)
    GT = G * ParameterSpace.of(subject.params).units(subject.params)
    torch.testing.assert_close(swept.logits, subject.outputs(subject.params, subject.x), **EXACT)
    torch.testing.assert_close(swept.inputs.grams, J @ J.mT, **EXACT)
    for kernel, block, traced in (
        (G @ G.mT, swept.kernel.blocks, swept.kernel.traced),
        (GT @ GT.mT, swept.kernel.scaled_blocks, swept.kernel.scaled_traced),
    ):
        whole = blocks(kernel, subject.n)
        torch.testing.assert_close(block, torch.einsum("icid->icd", whole), **EXACT)
        torch.testing.assert_close(traced, torch.einsum("icjc->ij", whole), **EXACT)
    if not tight:
        torch.testing.assert_close(swept.kernel.full, G @ G.mT, **EXACT)
        torch.testing.assert_close(swept.inputs.jacobians, J, **EXACT)


def test_a_tight_budget_makes_many_passes_and_keeps_less():
    subject = small_subject("mlp")
    steps: dict[bool, list[tuple[str, int, int]]] = {False: [], True: []}
    for tight in (False, True):
        sweep(
            subject,
            memory_budget_bytes=TIGHT["mlp"] if tight else ROOMY,
            on_progress=lambda *step, tight=tight: steps[tight].append(step),
        )
    totals = {tight: said[-1][2] for tight, said in steps.items()}
    assert totals[False] == 3  # a backward pass for every output
    assert totals[True] > 4 * totals[False]
    assert all([done for _, done, _ in said] == list(range(1, said[-1][2] + 1)) for said in steps.values())
    tiny = sweep(small_subject("mlp", n=12), memory_budget_bytes=TIGHT["mlp"])
    assert tiny.kernel.full is None


def test_what_does_not_fit_for_a_single_sample_is_refused_with_the_sizes():
    with pytest.raises(BudgetExceededError, match=r"what 3 backward passes of one sample leave for .* 192 bytes"):
        sweep(small_subject("mlp"), memory_budget_bytes=2**8)


def test_float32_grams_are_accumulated_in_float64():
    # Two nearly parallel float32 rows: their small singular value drowns in a float32 Gram.
    a = normal(1, 50).float()
    rows = torch.cat([a, a * (1 + 2**-20) + 1e-5 * normal(1, 50, seed=1).float()])
    expected = torch.linalg.svdvals(rows.double())
    sigma = torch.linalg.eigvalsh(row_products(rows, rows, torch.float64)).sqrt().flip(0)
    # σ₂/σ₁ is near 1e-6, so that σ₂² keeps four of float64's sixteen digits.
    torch.testing.assert_close(sigma, expected, rtol=1e-4, atol=0)
    in_float32 = float(torch.linalg.eigvalsh((rows @ rows.mT).double())[0])
    assert abs(in_float32 / float(expected[-1]) ** 2 - 1) > 0.5


class SampleMean(nn.Module):
    """Normalises with the statistics of whatever batch it gets: the rows of a batch are not independent."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x - x.mean(dim=0)) + x.sum(dim=1, keepdim=True)


def test_per_sample_derivatives_do_not_assume_that_rows_of_a_batch_are_independent():
    subject = subject_of(SampleMean().double(), normal(5, 4))
    swept = sweep(subject, memory_budget_bytes=ROOMY)
    J = dense.input_jacobians(subject)
    torch.testing.assert_close(swept.inputs.grams, J @ J.mT, **EXACT)


class WithoutBatchingRule(torch.autograd.Function):
    """The square with no vmap rule."""

    @staticmethod
    def forward(x):
        return x**2

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, u):
        (x,) = ctx.saved_tensors
        return 2 * x * u


class Squares(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return WithoutBatchingRule.apply(self.linear(x))


def test_an_operator_without_a_batching_rule_is_swept_sample_by_sample():
    torch.manual_seed(0)
    subject = subject_of(Squares().double(), normal(3, 4))
    G = dense.parameter_jacobian(subject)
    torch.testing.assert_close(sweep(subject, memory_budget_bytes=ROOMY).kernel.full, G @ G.mT, **EXACT)


class FoldedNormalization(nn.Module):
    """Running statistics folded into scale and shift, whose shape the zeros and ones in their place take."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.full((3,), 1.5)), nn.Parameter(torch.full((3,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = torch.zeros_like(self.shift), torch.ones_like(self.scale)
        normal = nn.functional.batch_norm(x, mean, variance, self.scale, self.shift, False, 0.0, 0.0)
        return normal.mean(dim=(2, 3)) ** 2


def test_what_only_has_the_shape_of_a_parameter_does_not_depend_on_it():
    subject = subject_of(FoldedNormalization().double(), normal(4, 3, 5, 5))
    assert Traced.of(subject) is not None
    G = dense.parameter_jacobian(subject)
    torch.testing.assert_close(sweep(subject, memory_budget_bytes=ROOMY).kernel.full, G @ G.mT, **EXACT)


def test_parts_that_were_not_asked_for_are_not_made():
    swept = sweep(small_subject("mlp"), memory_budget_bytes=ROOMY, parts=frozenset())
    assert swept.inputs is None
    assert swept.kernel is None


def test_a_model_without_parameters_has_no_kernel():
    assert sweep(subject_of(nn.Tanh(), normal(3, 4)), memory_budget_bytes=ROOMY).kernel is None


def test_float32_results_are_within_1e_5_of_float64():
    exact = sweep(small_subject("cnn"), memory_budget_bytes=ROOMY)
    single = sweep(in_dtype(small_subject("cnn"), torch.float32), memory_budget_bytes=ROOMY)
    for name in ("traced", "scaled_traced", "full"):
        ours, reference = getattr(single.kernel, name), getattr(exact.kernel, name)
        assert float((ours - reference).norm() / reference.norm()) < 1e-5
    assert float((single.inputs.grams - exact.inputs.grams).norm() / exact.inputs.grams.norm()) < 1e-5


def test_the_model_is_unchanged_by_a_sweep():
    subject = subject_of(mlp(), normal(4, 6))
    before = {name: tensor.clone() for name, tensor in subject.params.items()}
    sweep(subject, memory_budget_bytes=ROOMY)
    assert all(torch.equal(before[name], tensor) for name, tensor in subject.params.items())
