"""Second derivatives and forward mode of a lowered case, in float64, against each other and against differences."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import vjp, vmap

from eigengate.loading.program import Program
from tests.conformance.onnx_nodes.derivatives import check_smooth
from tests.conformance.torchscript_modules.case import ModuleCase

# Both sides in float64 and by the same formulas, once for two points together and once one after the other.
_SIDE_BY_SIDE = {"rtol": 1e-7, "atol": 1e-8}

Tensors = tuple[Tensor, ...]


def check_derivatives(case: ModuleCase, program: Program) -> bool:
    """⟨u,Jv⟩ = ⟨Jᵀu,v⟩, both second orders, differences and ``vmap``, by parameters and floating inputs.

    Returns:
        Whether there is anything to differentiate.

    Raises:
        AssertionError: Something disagrees.
        Exception: Whatever torch raises where a derivative or a batching rule is missing.
    """
    function, point = _function(case, program)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of operators that vmap batches slowly
        if not point or not sum(output.numel() for output in function(*point)):
            return False
        check_smooth(function, point)
        _check_side_by_side(function, point)
    return True


def _function(case: ModuleCase, program: Program) -> tuple[Callable[..., Tensors], Tensors]:
    """The floating outputs as a function of the parameters and of the inputs that move."""
    double = program.to(dtype=torch.float64)
    names = list(double.parameters)
    operands = [x.double() if x.is_floating_point() else x for x in case.operands]
    moving = [place for place, x in enumerate(operands) if x.is_floating_point()]
    if case.info.name.endswith("Loss"):
        # What a loss compares with is a class, a sign or a probability, whatever its type is.
        moving = [place for place in moving if place == 0]

    def function(*values: Tensor) -> Tensors:
        parameters = dict(zip(names, values, strict=False))
        given = dict(zip(moving, values[len(names) :], strict=True))
        outputs = double(parameters, *(given.get(place, x) for place, x in enumerate(operands)))
        return tuple(output for output in outputs if output.is_floating_point())

    return function, (*double.parameters.values(), *(operands[place] for place in moving))


def _check_side_by_side(function: Callable[..., Tensors], point: Tensors) -> None:
    generator = torch.Generator().manual_seed(0)
    cotangents = tuple(torch.randn(y.shape, generator=generator, dtype=y.dtype) for y in function(*point))

    def slope(*values: Tensor) -> Tensors:
        return vjp(function, *values)[1](cotangents)

    other = tuple(x + 1e-3 * torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in point)
    together = vmap(slope)(*(torch.stack(pair) for pair in zip(point, other, strict=True)))
    for batched, *single in zip(together, slope(*point), slope(*other), strict=True):
        torch.testing.assert_close(batched, torch.stack(single), **_SIDE_BY_SIDE)
