"""Every operator against a dense matrix from reverse-mode autograd in float64, and the laws all operators obey."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from eigengate.estimators import lanczos
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
from eigengate.operators.recorded_gradient import RecordedGradient
from tests.support import dense
from tests.support.subjects import normal, small_subject, subject_of

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
def test_every_mode_gives_the_same_products(kind):
    subject = small_subject(kind)
    gauss_newton, hessian = GaussNewtonOperator.of(subject), HessianOperator.of(subject)
    assert (gauss_newton.mode, hessian.mode) == ("forward", "double_backward")
    for operator, mode in ((gauss_newton, "double_backward"), (hessian, "forward")):
        torch.testing.assert_close(replace(operator, mode=mode).materialize(), operator.materialize(), **EXACT)


@pytest.mark.parametrize("batches", [None, uneven], ids=["one batch", "uneven"])
def test_the_gradient_is_that_of_the_mean_loss(batches):
    subject = small_subject("mlp")
    space, theta = ParameterSpace.of(subject.params), dense.theta(subject)
    expected = torch.func.grad(lambda w: subject.mean_loss(space.unflatten(w)))(theta)
    operator = HessianOperator.of(subject, batches and batches(subject))
    for mode in ("double_backward", "forward"):
        torch.testing.assert_close(replace(operator, mode=mode).gradient, expected, **EXACT)


def test_a_recorded_gradient_multiplies_columns_singly_as_together():
    theta, X = normal(5), normal(5, 3, seed=1)
    recorded = RecordedGradient.of(lambda t: t.prod() + t.sin().sum(), theta)
    matrix = torch.func.hessian(lambda t: t.prod() + t.sin().sum())(theta)
    torch.testing.assert_close(recorded.derivative(X, at_once=2), matrix @ X, **EXACT)
    singly = torch.cat([recorded.derivative(column.unsqueeze(1), at_once=1) for column in X.unbind(1)], dim=1)
    torch.testing.assert_close(singly, matrix @ X, **EXACT)


def test_a_gradient_that_does_not_depend_on_the_parameters_has_derivative_zero():
    for total in (lambda t: 3 * t.sum(), lambda t: torch.ones(())):
        assert not RecordedGradient.of(total, normal(4)).derivative(normal(4, 2), at_once=2).any()


def with_cube(rule: type[torch.autograd.Function]) -> Subject:
    """A linear layer whose outputs an operator of restricted differentiability cubes."""

    class Cubed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(4, 3)

        def forward(self, x):
            return rule.apply(self.linear(x))

    torch.manual_seed(0)
    return subject_of(Cubed(), normal(6, 4), torch.arange(6) % 3)


def test_products_fall_back_to_forward_mode_and_then_to_differences_and_say_so():
    whole = HessianOperator.of(with_cube(Cube))
    forward, difference = (HessianOperator.of(with_cube(rule)) for rule in (ForwardOnlyCube, FirstOrderCube))
    assert [operator.mode for operator in (whole, forward, difference)] == ["double_backward", "forward", "difference"]
    assert [operator.signature.precision for operator in (whole, forward)] == [None, None]
    matrix = whole.materialize()
    torch.testing.assert_close(forward.materialize(), matrix, **EXACT)
    error = torch.linalg.matrix_norm(difference.materialize() - matrix, ord=2)
    # eps^⅔ is 4e-11 in float64; third derivatives of cubes are of size one.
    assert error <= difference.signature.precision * torch.linalg.matrix_norm(matrix, ord=2) < 1e-6


def test_the_error_of_differences_is_in_the_eigenvalues_interval():
    subject = with_cube(FirstOrderCube)
    truth = float(torch.linalg.eigvalsh(HessianOperator.of(with_cube(Cube)).materialize())[-1])
    operator = HessianOperator.of(subject)
    pairs = lanczos(operator, tolerance=1e-9, max_products=60, max_basis=30, generator=torch.Generator().manual_seed(0))
    interval = pairs.largest.interval()
    assert pairs.outcome == "ok"
    assert interval.low <= truth <= interval.high
    assert interval.high - truth >= 0.5 * operator.signature.precision * truth


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


class Cube(torch.autograd.Function):
    """The cube, differentiable as often as one likes."""

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
        return u * 3 * x**2


class FirstOrderCube(torch.autograd.Function):
    """The cube with a backward pass that cannot be differentiated."""

    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, u):
        (x,) = ctx.saved_tensors
        return OpaqueProduct.apply(u, x)


class OpaqueProduct(torch.autograd.Function):
    """3ux², without a derivative of any kind."""

    @staticmethod
    def forward(u, x):
        return u * 3 * x**2

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, v):
        raise RuntimeError("no second derivative")


class ForwardOnlyCube(torch.autograd.Function):
    """The cube with a backward pass that has a forward-mode rule only."""

    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, u):
        (x,) = ctx.saved_tensors
        return ForwardOnlyProduct.apply(u, x)

    @staticmethod
    def jvp(ctx, t):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * t


class ForwardOnlyProduct(torch.autograd.Function):
    """3ux² with a forward-mode rule only."""

    @staticmethod
    def forward(u, x):
        return u * 3 * x**2

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, v):
        raise RuntimeError("no second derivative")

    @staticmethod
    def jvp(ctx, du, dx):
        u, x = ctx.saved_tensors
        return 3 * x**2 * du + 6 * u * x * dx


def test_a_wrong_operand_is_refused_with_both_shapes():
    operator = DenseOperator(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"shape \(2, 3\) cannot multiply a tensor of shape \(2,\)"):
        operator @ torch.zeros(2)


def test_an_empty_matrix_materializes():
    assert DenseOperator(torch.zeros(2, 0)).materialize().shape == (2, 0)
