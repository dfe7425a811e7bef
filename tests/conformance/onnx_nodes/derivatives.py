"""Derivatives of a case in float64: two modes against each other and against differences, vmap against a loop."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeGuard, get_args

import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import jvp, vjp, vmap

from eigengate.loading.onnx import OnnxProgram
from eigengate.loading.onnx.graph import Node
from eigengate.loading.onnx.registry import Smoothness, find_operator
from tests.conformance.onnx_nodes.case import NodeCase

# Both sides in float64; sums of a few hundred products, twice differentiated.
_IDENTITY = {"rel": 1e-8, "abs": 1e-8}
_SECOND_ORDER = {"rtol": 1e-7, "atol": 1e-7}
# A central difference with step 1e-6 in float64 is right to about 1e-9 of the value; functions with steep third
# derivatives (tan, reciprocals of small numbers) lose some of that. A wrong derivative is wrong in the first digits.
_DIFFERENCE = {"rtol": 1e-3, "atol": 1e-5}

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class Smooth:
    """A program as a function of its floating operands alone, elements of sequences among them, off the kinks."""

    program: OnnxProgram
    inputs: Sequence[Any]
    constant: frozenset[int]

    @cached_property
    def point(self) -> Tensors:
        return tuple(x for place, value in enumerate(self.inputs) for x in self._moving(place, value))

    def _moving(self, place: int, value: Any) -> list[Tensor]:
        tensors = value if isinstance(value, list) else [value]
        return [] if place in self.constant else [x for x in tensors if _is_floating(x) and x.numel()]

    def __call__(self, *values: Tensor) -> Tensors:
        """The floating outputs, those in sequences too, zero where they are infinite."""
        left = iter(values)
        given = []
        for place, value in enumerate(self.inputs):
            moving = {id(x) for x in self._moving(place, value)}
            replaced = [next(left) if id(x) in moving else x for x in (value if isinstance(value, list) else [value])]
            given.append(replaced if isinstance(value, list) else replaced[0])
        results = self.program(self.program.parameters, *given)
        flat = [y for result in results for y in (result if isinstance(result, list) else [result])]
        return tuple(_finite(y) for y in flat if _is_floating(y))


def check_derivatives(case: NodeCase, program: OnnxProgram) -> str:
    """Hold a case against what its operators declare; gives which kind of check was made (empty for none).

    Raises:
        AssertionError: derivatives disagree with each other, with differences, or with the declaration.
        Exception: whatever torch raises where a derivative or a batching rule is missing.
    """
    operators = [found for node in program.graph.walk() if (found := find_operator(node)) is not None]
    smooth = _at_a_regular_point(case, program)
    if not smooth.point:
        return ""
    if len(operators) == 1 and operators[0].smoothness is not Smoothness.TWICE:
        return _check_flat(smooth, operators[0].smoothness)
    if not _differentiable_outputs(smooth, smooth.point):
        return ""
    check_smooth(smooth, smooth.point)
    if all(operator.batches for operator in operators):
        _check_batching(smooth)
    return "twice"


def check_smooth(function: Callable[..., Tensors], point: Tensors) -> None:
    """⟨u,Jv⟩ = ⟨Jᵀu,v⟩, forward over reverse = reverse over reverse, both orders against central differences."""
    generator = torch.Generator().manual_seed(0)
    v, outputs = _like(point, generator), function(*point)
    u = _like(outputs, generator)
    pushed, pulled = jvp(function, point, v)[1], vjp(function, *point)[1](u)
    forward, backward = _inner(u, pushed), _inner(pulled, v)
    assert math.isfinite(forward)
    assert math.isclose(forward, backward, rel_tol=_IDENTITY["rel"], abs_tol=_IDENTITY["abs"]), "⟨u,Jv⟩ ≠ ⟨Jᵀu,v⟩"

    def slope(*values: Tensor) -> Tensors:
        return vjp(function, *values)[1](u)

    mixed, reverse = jvp(slope, point, v)[1], vjp(slope, *point)[1](v)
    for one, other in zip(mixed, reverse, strict=True):
        assert torch.isfinite(one).all()
        torch.testing.assert_close(one, other, **_SECOND_ORDER)
    leaves = tuple(x.detach().clone().requires_grad_() for x in point)
    with torch.random.fork_rng():  # torch draws its directions from the global generator
        torch.manual_seed(0)
        gradcheck(lambda *x: _differentiable_outputs(function, x), leaves, fast_mode=True, **_DIFFERENCE)
        gradgradcheck(lambda *x: _differentiable_outputs(function, x), leaves, fast_mode=True, **_DIFFERENCE)


def _check_batching(smooth: Smooth) -> None:
    """Outputs, and derivatives of two different points at once, against one after the other."""
    generator = torch.Generator().manual_seed(1)
    points = (smooth.point, tuple(_off_kinks(x, generator, size=1e-3) for x in smooth.point))
    u = _like(smooth(*smooth.point), generator)
    together = tuple(torch.stack(pair) for pair in zip(*points, strict=True))

    def slope(*values: Tensor) -> Tensors:
        return vjp(smooth, *values)[1](u)

    for function in (smooth, slope):
        for batched, *single in zip(vmap(function)(*together), *(function(*p) for p in points), strict=True):
            torch.testing.assert_close(batched, torch.stack(single), **_SECOND_ORDER)


def _check_flat(smooth: Smooth, declared: Smoothness) -> str:
    leaves = tuple(x.detach().clone().requires_grad_() for x in smooth.point)
    outputs = _differentiable_outputs(smooth, leaves)
    if declared is Smoothness.NONE:
        assert not outputs, "it is said to have no derivative, but has one"
        return "none"
    for output in outputs:
        slopes = torch.autograd.grad(output.sum(), leaves, allow_unused=True, retain_graph=True)
        assert all(slope is None or not slope.any() for slope in slopes), "it is said to be flat, but is not"
    return "flat"


def _at_a_regular_point(case: NodeCase, program: OnnxProgram) -> Smooth:
    double = program.to(dtype=torch.float64)
    counted = _read_as_numbers(program)
    generator = torch.Generator().manual_seed(0)
    constant = frozenset(place for place, spec in enumerate(program.inputs) if spec.name in counted)
    inputs = []
    for place, value in enumerate(case.inputs):
        doubled = [x.double() if _is_floating(x) else x for x in (value if isinstance(value, list) else [value])]
        if place not in constant:
            doubled = [_off_kinks(x, generator, size=0.03) if _is_floating(x) else x for x in doubled]
        inputs.append(doubled if isinstance(value, list) else doubled[0])
    return Smooth(double, inputs, constant)


def _off_kinks(x: Tensor, generator: torch.Generator, size: float) -> Tensor:
    """Every number moved a little away from zero: cases like whole numbers, where rounding, ties and domains end."""
    noise = torch.rand(x.shape, generator=generator, dtype=x.dtype)
    finite = torch.where(torch.isfinite(x), x, noise)
    return finite + size * torch.where(finite < 0, finite - 0.3, finite + 0.3) * noise


def _read_as_numbers(program: OnnxProgram) -> set[str]:
    """Inputs whose numbers decide shapes or control flow: there is no derivative by them."""
    return {
        name
        for node in program.graph.nodes
        for position, name in enumerate(node.inputs)
        if not _is_data(node, position)
    }


def _is_data(node: Node, position: int) -> bool:
    found = find_operator(node)
    assert found is not None
    annotation = found.inputs[min(position, len(found.inputs) - 1)].annotation
    members = get_args(annotation) if type(None) in get_args(annotation) else (annotation,)
    return bool({Tensor, list[Tensor], Any} & set(members)) or any(Tensor in get_args(member) for member in members)


def _is_floating(value: Any) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.is_floating_point()


def _finite(y: Tensor) -> Tensor:
    return torch.where(torch.isfinite(y), y, torch.zeros_like(y))


def _differentiable_outputs(function: Callable[..., Tensors], point: Sequence[Tensor]) -> Tensors:
    """Outputs that depend on the operands at all; torch's checks refuse the others."""
    leaves = tuple(x if x.requires_grad else x.detach().clone().requires_grad_() for x in point)
    return tuple(y for y in function(*leaves) if y.requires_grad)


def _like(values: Tensors, generator: torch.Generator) -> Tensors:
    return tuple(torch.randn(x.shape, dtype=x.dtype, generator=generator) for x in values)


def _inner(left: Tensors, right: Tensors) -> float:
    return float(sum((a * b).sum() for a, b in zip(left, right, strict=True)))
