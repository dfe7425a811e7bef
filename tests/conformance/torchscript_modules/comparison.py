"""Output and first derivatives of a lowered case against those of its eager module."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from eigengate.loading.program import Program
from tests.conformance.torchscript_modules.case import ModuleCase, tensors_in

# Both sides in float32. Kernels that we write out (attention, recurrent cells) add a few thousand terms in another
# order than the fused ones, which moves a result by about 1e-6 of the largest term. A wrong operator is wrong in the
# first digits.
RTOL = 1e-4
ATOL_OF_LARGEST = 1e-5

Gradients = tuple[list[Tensor], dict[str, Tensor]]


def check(case: ModuleCase, program: Program) -> None:
    """Hold a case against its eager module: outputs, derivatives by floating inputs and by parameters.

    Raises:
        AssertionError: They differ.
        Exception: Whatever the program or torch raises.
    """
    parameters = {name.removeprefix("module."): name for name in program.parameters}
    eager = [tensor.detach() for tensor in tensors_in(case.eager)]
    ours = list(program(program.parameters, *case.operands))
    _compare("output", ours, eager)
    cotangents = _cotangents(eager)
    if not cotangents:
        return
    moving = _moving(case)
    by_inputs, by_parameters = _eager_gradients(case, moving, cotangents)
    our_inputs, our_parameters = _our_gradients(case, program, moving, cotangents)
    _compare("derivative by inputs", our_inputs, by_inputs)
    assert parameters.keys() == by_parameters.keys(), "parameters have other names"
    for name, gradient in by_parameters.items():
        _compare(f"derivative by {name}", [our_parameters[parameters[name]]], [gradient])


def _compare(what: str, ours: Sequence[Tensor], eager: Sequence[Tensor]) -> None:
    assert len(ours) == len(eager), f"{len(ours)} {what}s where {len(eager)} belong"
    for one, other in zip(ours, eager, strict=True):
        finite = other[torch.isfinite(other)] if other.is_floating_point() else other.new_zeros(0)
        largest = float(finite.abs().max()) if finite.numel() else 0.0
        torch.testing.assert_close(
            one, other, rtol=RTOL, atol=ATOL_OF_LARGEST * largest, equal_nan=True, msg=lambda text: f"{what}: {text}"
        )


def _cotangents(outputs: Sequence[Tensor]) -> dict[int, Tensor]:
    """A random weight for every number of every floating output, by its place."""
    generator = torch.Generator().manual_seed(0)
    return {
        place: torch.randn(output.shape, generator=generator, dtype=output.dtype)
        for place, output in enumerate(outputs)
        if output.is_floating_point()
    }


def _weighted(outputs: Sequence[Tensor], cotangents: Mapping[int, Tensor]) -> Tensor:
    return torch.stack([(outputs[place] * u).sum() for place, u in cotangents.items()]).sum()


def _eager_gradients(case: ModuleCase, moving: Sequence[int], cotangents: Mapping[int, Tensor]) -> Gradients:
    """By the inputs that move and by every parameter, with plain autograd through the module itself."""
    leaves = [x.detach().clone().requires_grad_(place in moving) for place, x in enumerate(case.operands)]
    outputs = list(tensors_in(case.call(leaves)))
    inputs = [leaves[place] for place in moving]
    named = dict(case.module.named_parameters())
    wanted = [*inputs, *named.values()]
    value = _weighted(outputs, cotangents)
    if not wanted or not value.requires_grad:
        return [torch.zeros_like(x) for x in inputs], {name: torch.zeros_like(p) for name, p in named.items()}
    gradients = torch.autograd.grad(value, wanted, allow_unused=True, materialize_grads=True)
    return list(gradients[: len(inputs)]), dict(zip(named, gradients[len(inputs) :], strict=True))


def _moving(case: ModuleCase) -> list[int]:
    """The floating operands that the eager module has a derivative by: some losses have none by their target."""
    return [place for place, tensor in enumerate(case.operands) if tensor.is_floating_point() and _moves(case, place)]


def _moves(case: ModuleCase, place: int) -> bool:
    leaves = [x.detach().clone().requires_grad_(index == place) for index, x in enumerate(case.operands)]
    try:
        case.call(leaves)
    except RuntimeError as error:
        if "is not differentiable with respect to argument" in str(error):
            return False
        raise
    return True


def _our_gradients(
    case: ModuleCase, program: Program, moving: Sequence[int], cotangents: Mapping[int, Tensor]
) -> Gradients:
    """The same through the lowered program, with ``torch.func`` as the audit takes them."""

    def value(inputs: list[Tensor], parameters: Mapping[str, Tensor]) -> Tensor:
        given = dict(zip(moving, inputs, strict=True))
        operands = [given.get(place, tensor) for place, tensor in enumerate(case.operands)]
        return _weighted(program(parameters, *operands), cotangents)

    start = [case.operands[place] for place in moving]
    gradients: Gradients = torch.func.grad(value, argnums=(0, 1))(start, dict(program.parameters))
    return gradients
