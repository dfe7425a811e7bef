"""Normalisations at every version: against onnxruntime and torch, and derivatives against formulas of primitives."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import hessian, jacfwd, jacrev, vmap

from tests.support.operator_derivatives import check_every_derivative
from tests.support.single_nodes import assert_agrees_with_onnxruntime, node_program, run_node

SHAPE = (2, 4, 3, 5)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def positive(*shape: int, seed: int = 0) -> Tensor:
    return 0.3 + torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def statistics(*shape: int) -> list[Tensor]:
    """Scale, bias, mean and variance."""
    return [*(normal(*shape, seed=seed) for seed in (1, 2, 3)), positive(*shape, seed=4)]


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("shape", [SHAPE, (6, 4), (2, 4, 3)], ids=str)
def test_a_batch_is_normalised_by_given_statistics(opset: int, shape: tuple[int, ...]) -> None:
    operands = [normal(*shape), *statistics(4)]
    assert_agrees_with_onnxruntime("BatchNormalization", *operands, opset=opset, epsilon=1e-2)
    program = node_program("BatchNormalization", *operands, opset=opset, epsilon=1e-2)
    check_every_derivative(program, operands)


def test_in_version_7_every_feature_may_have_statistics_of_its_own() -> None:
    operands = [normal(*SHAPE), *statistics(*SHAPE[1:])]
    assert_agrees_with_onnxruntime("BatchNormalization", *operands, opset=7, spatial=0)


@pytest.mark.parametrize(("opset", "count"), [(7, 5), (9, 5), (14, 3), (15, 3)])
def test_in_training_the_batch_gives_the_statistics(opset: int, count: int) -> None:
    x, scale, bias, mean, variance = operands = [normal(*SHAPE), *statistics(4)]
    mode = {"training_mode": 1} if opset >= 14 else {}
    attributes = {"opset": opset, "outputs": count, "momentum": 0.7, "epsilon": 1e-2, **mode}
    y, *rest = run_node("BatchNormalization", *operands, **attributes)
    ours = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    running = [0.7 * old + 0.3 * new for old, new in zip((mean, variance), ours, strict=True)]
    expected = [F.batch_norm(x, None, None, scale, bias, training=True, eps=1e-2), *running, *ours]
    for one, other in zip([y, *rest], expected[:count], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)  # sums of thirty terms in float32
    if opset >= 14:  # before, onnxruntime gives the inverse deviation for the variance of the batch
        assert_agrees_with_onnxruntime("BatchNormalization", *operands, **attributes)
    check_every_derivative(node_program("BatchNormalization", *operands, **attributes), operands)


TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("is_training", [0, 1])
def test_since_version_15_the_batch_its_scale_and_its_statistics_may_differ_in_type(
    dtype: torch.dtype, is_training: int
) -> None:
    x, attributes = normal(*SHAPE).to(dtype), {"opset": 15, "outputs": 1 + 2 * is_training}
    scale, bias, mean, variance = statistics(4)
    for learned in TYPES:
        for kept in TYPES:
            operands = [x, scale.to(learned), bias.to(learned), mean.to(kept), variance.to(kept)]
            found = run_node("BatchNormalization", *operands, training_mode=is_training, **attributes)
            y, *running = found if is_training else (found,)
            assert (y.dtype, *(value.dtype for value in running)) == (dtype, *[kept] * len(running))
            exact = F.batch_norm(*(value.double() for value in (x, mean, variance, scale, bias)), bool(is_training))
            # bfloat16 has three digits, and rounds the scale and the result, which are below 8.
            torch.testing.assert_close(y.double(), exact, rtol=0.02, atol=0.05)


def test_statistics_may_be_wider_than_a_half_precision_batch_as_in_onnxruntime() -> None:
    scale, bias, mean, variance = statistics(4)
    operands = [normal(*SHAPE).half(), scale.half(), bias.half(), mean, variance]
    assert_agrees_with_onnxruntime("BatchNormalization", *operands, opset=15)


@pytest.mark.parametrize("opset", [9, 14, 15])
def test_a_vector_is_a_batch_of_one_channel(opset: int) -> None:
    x, attributes = normal(6), {"opset": opset}
    wide = x.unsqueeze(1)
    for more in ({}, {"outputs": 3, "training_mode": 1} if opset >= 14 else {"outputs": 5}):
        vector, column = (
            run_node("BatchNormalization", value, *statistics(1), **attributes, **more) for value in (x, wide)
        )
        vector, column = (found if isinstance(found, tuple) else (found,) for found in (vector, column))
        assert torch.equal(vector[0], column[0].squeeze(1))
        assert all(torch.equal(one, other) for one, other in zip(vector[1:], column[1:], strict=True))


@pytest.mark.parametrize("axis", [-1, 0, 1, 2, -3])
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_layers_are_normalised_from_an_axis_on(axis: int, outputs: int) -> None:
    x, shape = normal(*SHAPE), SHAPE[axis:]
    for bias in ([normal(*shape, seed=2)], []):
        operands = [x, normal(*shape, seed=1), *bias]
        attributes = {"opset": 17, "axis": axis, "outputs": outputs, "epsilon": 1e-2}
        assert_agrees_with_onnxruntime("LayerNormalization", *operands, **attributes)
        found = run_node("LayerNormalization", *operands, **attributes)
        y = found if outputs == 1 else found[0]
        expected = F.layer_norm(x, shape, *operands[1:], eps=1e-2)
        torch.testing.assert_close(y, expected, rtol=1e-5, atol=2e-6)  # rounding of float32


def test_scale_and_bias_of_a_layer_are_broadcast() -> None:
    operands = [normal(*SHAPE), normal(1, 3, 1, seed=1), normal(3, 5, seed=2)]
    assert_agrees_with_onnxruntime("LayerNormalization", *operands, opset=17, axis=1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_statistics_of_half_precision_are_taken_in_single(dtype: torch.dtype) -> None:
    """The squares of these deviations are beyond what float16 can hold: in ``stash_type`` they are not."""
    x = (1000 * normal(3, 64)).to(dtype)
    scale, bias = normal(64, seed=1).to(dtype), normal(64, seed=2).to(dtype)
    y, mean, inverse = run_node("LayerNormalization", x, scale, bias, opset=17, outputs=3)
    assert (y.dtype, mean.dtype, inverse.dtype) == (dtype, torch.float32, torch.float32)
    exact = F.layer_norm(x.double(), (64,), scale.double(), bias.double())
    digits = torch.finfo(dtype).eps  # of the result, of what is scaled, and of the two of them added, below 16
    torch.testing.assert_close(y.double(), exact, rtol=4 * digits, atol=4 * digits)
    torch.testing.assert_close(mean, x.float().mean(-1, keepdim=True), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(inverse, x.float().var(-1, correction=0, keepdim=True).rsqrt(), rtol=1e-5, atol=0)
    root = run_node("RMSNormalization", x, scale, opset=23)
    assert root.dtype == dtype
    exact = F.rms_norm(x.double(), (64,), scale.double(), 1e-5)
    torch.testing.assert_close(root.double(), exact, rtol=4 * digits, atol=4 * digits)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("shape", [SHAPE, (2, 4), (2, 4, 3)], ids=str)
def test_scale_is_per_group_before_version_21_and_per_channel_since(groups: int, shape: tuple[int, ...]) -> None:
    x, per_group, per_channel = normal(*shape), (normal(groups, seed=1), normal(groups, seed=2)), statistics(4)[:2]
    if shape[2:]:
        assert_agrees_with_onnxruntime("GroupNormalization", x, *per_group, opset=18, num_groups=groups)
        assert_agrees_with_onnxruntime("GroupNormalization", x, *per_channel, opset=21, num_groups=groups)
    spread = [values.repeat_interleave(4 // groups) for values in per_group]
    for opset, operands, wide in ((18, per_group, spread), (21, per_channel, per_channel)):
        # Of a single place per group the deviation is zero, and 1e-2 stays under the root.
        y = run_node("GroupNormalization", x, *operands, opset=opset, num_groups=groups, epsilon=1e-2)
        torch.testing.assert_close(y, F.group_norm(x, groups, *wide, 1e-2), rtol=1e-5, atol=2e-6)


def test_groups_in_half_precision_are_those_of_onnxruntime() -> None:
    operands = [value.half() for value in (normal(*SHAPE), *statistics(4)[:2])]
    assert_agrees_with_onnxruntime("GroupNormalization", *operands, opset=21, num_groups=2)


@pytest.mark.parametrize("opset", [7, 22])
@pytest.mark.parametrize("shape", [SHAPE, (2, 4, 3)], ids=str)
def test_instances_are_normalised_over_their_places(opset: int, shape: tuple[int, ...]) -> None:
    operands = [normal(*shape), *statistics(4)[:2]]
    assert_agrees_with_onnxruntime("InstanceNormalization", *operands, opset=opset, epsilon=1e-2)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("opset", [7, 22])
def test_vectors_get_norm_one_and_zero_stays(p: int, axis: int, opset: int) -> None:
    x = normal(3, 4, 5)
    x[1, 1], x[0, :, 1], x[:, 2, 3] = 0, 0, 0
    assert_agrees_with_onnxruntime("LpNormalization", x, opset=opset, p=p, axis=axis)
    regular = normal(3, 4)
    check_every_derivative(node_program("LpNormalization", regular, opset=opset, p=p, axis=axis % 2), [regular])


@pytest.mark.parametrize("p", [1, 2])
def test_a_zero_vector_has_a_finite_gradient_and_spoils_no_other(p: int) -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, -4.0]], dtype=torch.float64)
    program = node_program("LpNormalization", x, opset=22, p=p)
    slope = torch.func.grad(lambda value: (program({}, value)[0] * torch.tensor([1.0, 2.0])).sum())(x)
    alone = torch.func.grad(lambda value: (program({}, value)[0] * torch.tensor([1.0, 2.0])).sum())(x[1:])
    assert slope[0].tolist() == [0.0, 0.0]
    assert torch.equal(slope[1:], alone)


@pytest.mark.parametrize("opset", [7, 13])
@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_responses_are_normalised_by_their_neighbours(opset: int, size: int) -> None:
    x, numbers = normal(*SHAPE), {"alpha": 0.3, "beta": 0.6, "bias": 1.3}
    assert_agrees_with_onnxruntime("LRN", x, opset=opset, size=size, **numbers)
    check_every_derivative(node_program("LRN", x, opset=opset, size=size, **numbers), [x])


def test_of_an_even_number_of_neighbours_more_come_after() -> None:
    """onnxruntime refuses even sizes; the standard's own sum is the witness."""
    x = normal(2, 5, 3)
    sums = x**2 + F.pad(x[:, 1:] ** 2, (0, 0, 0, 1))
    y = run_node("LRN", x, opset=13, size=2, alpha=0.3, beta=0.6, bias=1.3)
    torch.testing.assert_close(y, x / (1.3 + 0.15 * sums) ** 0.6)


@pytest.mark.parametrize("opset", [9, 13])
@pytest.mark.parametrize("attributes", [{}, {"axes": [0, 1]}, {"axes": [-1]}], ids=str)
def test_means_and_variances_over_any_axes(opset: int, attributes: dict[str, Any]) -> None:
    x = normal(*SHAPE)
    assert_agrees_with_onnxruntime("MeanVarianceNormalization", x, opset=opset, **attributes)
    check_every_derivative(node_program("MeanVarianceNormalization", x, opset=opset, **attributes), [x])


def test_a_channel_without_variance_gives_zeros_and_spoils_no_gradient() -> None:
    x = normal(2, 2, 3, 3).double()
    x[:, 0] = 1.5
    program = node_program("MeanVarianceNormalization", x, opset=13)
    assert not program({}, x)[0][:, 0].any()
    slope = torch.func.grad(lambda value: program({}, value)[0][:, 1].pow(3).sum())(x)
    assert slope.isfinite().all()
    assert slope[:, 1].abs().max() > 0.01


@pytest.mark.parametrize("axis", [-1, 0, 1, -2])
def test_root_mean_squares_are_those_of_onnxruntime_and_torch(axis: int) -> None:
    x, shape = normal(*SHAPE), SHAPE[axis:]
    operands = [x, normal(*shape, seed=1)]
    assert_agrees_with_onnxruntime("RMSNormalization", *operands, opset=23, axis=axis, epsilon=1e-2)
    y = run_node("RMSNormalization", *operands, opset=23, axis=axis, epsilon=1e-2)
    torch.testing.assert_close(y, F.rms_norm(x, shape, operands[1], 1e-2), rtol=1e-5, atol=2e-6)


EPSILON = 1 / 64
"""A file holds it in float32, exactly."""


def standardised(x: Tensor, axes: tuple[int, ...], epsilon: float) -> Tensor:
    centred = x - x.mean(axes, keepdim=True)
    return centred * ((centred * centred).mean(axes, keepdim=True) + epsilon) ** -0.5


def layer(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return standardised(x, (-2, -1), EPSILON) * scale + bias


def instance(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return standardised(x, (2, 3), EPSILON) * scale[:, None, None] + bias[:, None, None]


def group(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    grouped = standardised(x.unflatten(1, (2, -1)), (2, 3, 4), EPSILON).flatten(1, 2)
    return grouped * scale[:, None, None] + bias[:, None, None]


def root_mean_square(x: Tensor, scale: Tensor) -> Tensor:
    return x * ((x * x).mean((-2, -1), keepdim=True) + EPSILON) ** -0.5 * scale


FORMULAS: dict[str, tuple[Callable[..., Tensor], tuple[int, ...], dict[str, Any]]] = {
    "LayerNormalization": (layer, (2, 3), {"opset": 17, "axis": -2}),
    "InstanceNormalization": (instance, (4,), {"opset": 22}),
    "GroupNormalization": (group, (4,), {"opset": 21, "num_groups": 2}),
    "RMSNormalization": (root_mean_square, (2, 3), {"opset": 23, "axis": -2}),
}

every_formula = pytest.mark.parametrize("name", FORMULAS)


def case(name: str) -> tuple[list[Tensor], Callable[..., Tensor], Callable[..., Tensor]]:
    """Operands in float64, our function of them, and the formula."""
    formula, shape, attributes = FORMULAS[name]
    operands = [normal(2, 4, 2, 3), normal(*shape, seed=1), normal(*shape, seed=2)]
    if name == "RMSNormalization":
        operands.pop()
    program = node_program(name, *operands, epsilon=EPSILON, **attributes).to(dtype=torch.float64)
    return [x.double() for x in operands], lambda *values: program({}, *values)[0], formula


@every_formula
@pytest.mark.parametrize("outer", [jacrev, jacfwd])
@pytest.mark.parametrize("inner", [jacrev, jacfwd])
def test_every_second_derivative_is_that_of_the_formula(name: str, outer: Any, inner: Any) -> None:
    """Those of torch 2.13's own layer normalisation are not: wrong by x of the slope by the scale, in any mode."""
    operands, ours, formula = case(name)
    places = tuple(range(len(operands)))

    def second(function: Callable[..., Tensor]) -> tuple[tuple[Tensor, ...], ...]:
        found: tuple[tuple[Tensor, ...], ...] = outer(
            inner(lambda *values: function(*values).sin().sum(), places), places
        )(*operands)
        return found

    for row, expected in zip(second(ours), second(formula), strict=True):
        for block, truth in zip(row, expected, strict=True):
            torch.testing.assert_close(block, truth, rtol=1e-9, atol=1e-10)  # rounding of float64


@every_formula
def test_hessians_by_the_scale_are_right_under_vmap(name: str) -> None:
    operands, ours, formula = case(name)
    x, scale, *bias = operands
    scales = torch.stack([scale, scale.flip(-1), 2 * scale])

    def curvature(function: Callable[..., Tensor]) -> Tensor:
        return vmap(hessian(lambda value: function(x, value, *bias).sin().sum()))(scales)

    found, expected = curvature(ours), curvature(formula)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)  # rounding of float64


@every_formula
def test_derivatives_agree_with_differences_and_modes_with_each_other(name: str) -> None:
    operands, _, _ = case(name)
    attributes = FORMULAS[name][2]
    outputs = 3 if name == "LayerNormalization" else 1
    program = node_program(name, *(x.float() for x in operands), outputs=outputs, epsilon=EPSILON, **attributes)
    check_every_derivative(program, operands)
