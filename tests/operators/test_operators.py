"""Every operator against a dense matrix from reverse-mode autograd in float64, and the laws all operators obey."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from eigengate.operators import (
    DenseOperator,
    DiagonalCongruence,
    GaussNewtonOperator,
    GramOperator,
    HessianOperator,
    JacobianOperator,
    LinearOperator,
    NTKOperator,
    ParameterSpace,
    Subject,
)
from tests.support import dense
from tests.support.subjects import normal, small_subject

KINDS = ("mlp", "cnn", "attention")
# Sums of some hundred float64 terms of size one.
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def uneven(subject: Subject) -> tuple[Tensor, ...]:
    return torch.arange(2), torch.arange(2, subject.n)


def scaled_hessian(subject: Subject) -> LinearOperator:
    units = ParameterSpace.of(subject.params).units(subject.params)
    return DiagonalCongruence(HessianOperator.of(subject), units)


def scaled_reference(subject: Subject) -> Tensor:
    t = ParameterSpace.of(subject.params).units(subject.params)
    return t.unsqueeze(1) * dense.loss_hessian(subject) * t


Build = Callable[[Subject], LinearOperator]
Reference = Callable[[Subject], Tensor]
CASES: dict[str, tuple[Build, Reference]] = {
    "parameter_jacobian": (JacobianOperator.of_parameters, dense.parameter_jacobian),
    "input_jacobian": (JacobianOperator.of_inputs, lambda s: torch.block_diag(*dense.input_jacobians(s))),
    "ntk": (NTKOperator.of, lambda s: dense.parameter_jacobian(s) @ dense.parameter_jacobian(s).mT),
    "hessian": (HessianOperator.of, dense.loss_hessian),
    "hessian_in_uneven_batches": (lambda s: HessianOperator.of(s, uneven(s)), dense.loss_hessian),
    "scaled_hessian": (scaled_hessian, scaled_reference),
    "gauss_newton": (GaussNewtonOperator.of, dense.gauss_newton),
    "gauss_newton_in_uneven_batches": (lambda s: GaussNewtonOperator.of(s, uneven(s)), dense.gauss_newton),
    "gram_of_inputs": (
        lambda s: GramOperator(JacobianOperator.of_inputs(s)),
        lambda s: torch.block_diag(*(dense.input_jacobians(s) @ dense.input_jacobians(s).mT)),
    ),
}


# Splitting into batches is the same code whatever the network, and the attention block is the dearest.
PAIRS = [(kind, case) for kind in KINDS for case in CASES if kind != "attention" or "batches" not in case]


@pytest.fixture(params=PAIRS, ids=lambda pair: "-".join(pair))
def pair(request) -> tuple[LinearOperator, Tensor]:
    kind, case = request.param
    subject = small_subject(kind)
    build, reference = CASES[case]
    return build(subject), reference(subject)


def test_an_operator_is_its_dense_matrix_and_obeys_the_laws(pair):
    operator, matrix = pair
    rows, columns = operator.shape
    assert operator.shape == tuple(matrix.shape)
    torch.testing.assert_close(operator.materialize(), matrix, **EXACT)
    X, u, v = normal(columns, 3, seed=3), normal(rows, seed=4), normal(columns, seed=5)
    torch.testing.assert_close(operator @ X, matrix @ X, **EXACT)
    torch.testing.assert_close(operator.adjoint() @ u, matrix.mT @ u, **EXACT)
    torch.testing.assert_close(u @ (operator @ v), (operator.adjoint() @ u) @ v, **EXACT)
    torch.testing.assert_close(operator @ (2 * v - X[:, 0]), 2 * (operator @ v) - operator @ X[:, 0], **EXACT)
    assert operator.adjoint().adjoint() is operator
    if operator.is_self_adjoint:
        torch.testing.assert_close(matrix, matrix.mT, **EXACT)
    if operator.is_psd:
        assert torch.linalg.eigvalsh(matrix)[0] > -1e-10 * matrix.norm()


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_double_backward_gives_the_same_products_as_forward_mode(kind):
    subject = small_subject(kind)
    for operator in (HessianOperator.of(subject), GaussNewtonOperator.of(subject)):
        assert operator.mode == "forward"
        other = replace(operator, mode="double_backward")
        torch.testing.assert_close(other.materialize(), operator.materialize(), **EXACT)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hessian_product_is_the_difference_quotient_of_gradients(kind):
    subject = small_subject(kind)
    space, theta = ParameterSpace.of(subject.params), dense.theta(subject)
    gradient = torch.func.grad(lambda w: subject.mean_loss(space.unflatten(w)))
    v = normal(len(theta), seed=6)
    h = 1e-5
    quotient = (gradient(theta + h * v) - gradient(theta - h * v)) / (2 * h)
    # Central differences at h = 1e-5 err by h² f''' and eps/h, both near 1e-10.
    torch.testing.assert_close(HessianOperator.of(subject) @ v, quotient, rtol=1e-7, atol=1e-8)


def test_an_operator_without_forward_mode_falls_back_to_double_backward_and_says_so():
    def function(v: Tensor) -> Tensor:
        return CubeWithoutForwardMode.apply(v)

    primal = normal(4)
    operator = JacobianOperator.of(function, primal)
    assert operator.mode == "double_backward"
    torch.testing.assert_close(operator.materialize(), torch.diag(3 * primal**2), **EXACT)


class CubeWithoutForwardMode(torch.autograd.Function):
    """The cube with a backward pass but no forward-mode rule."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, u):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * u


def test_a_wrong_operand_is_refused_with_both_shapes():
    operator = DenseOperator(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"shape \(2, 3\) cannot multiply a tensor of shape \(2,\)"):
        operator @ torch.zeros(2)


def test_an_empty_matrix_materializes():
    assert DenseOperator(torch.zeros(2, 0)).materialize().shape == (2, 0)
