"""Exported networks against themselves: outputs, derivatives of first and second order, names and transforms."""

import copy
from collections.abc import Callable, Mapping
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, jvp, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves

from eigengate.loading.exported import read_exported
from eigengate.loading.program import Lowered
from tests.support.exported_networks import BUILDERS, FORMS, Form, build, exported

# Both sides in float64; decomposed programs add in another order.
PRECISION = {"rtol": 1e-10, "atol": 1e-12}

pytestmark = pytest.mark.parametrize(("name", "form"), [(n, f) for n in BUILDERS for f in FORMS], ids=str)


@cache
def lowered(name: str, form: Form) -> Lowered:
    return read_exported(exported(*build(name), form))


def joined(outputs: object) -> Tensor:
    return torch.cat([leaf.flatten(1) for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)], 1)


def loss(outputs: Tensor) -> Tensor:
    """A scalar that no two outputs enter in the same way."""
    return (outputs.square() * torch.linspace(0.5, 1.5, outputs.numel()).to(outputs).view_as(outputs)).sum()


class Pair:
    """The lowered program and the network itself in double precision, as functions of parameters and inputs."""

    def __init__(self, name: str, form: Form) -> None:
        module, inputs = build(name)
        self.program = lowered(name, form).program.to(dtype=torch.float64)
        self.module = copy.deepcopy(module).double()
        self.inputs = tuple(t.double() if t.is_floating_point() else t for t in inputs)
        self.trained = {key: value.detach() for key, value in self.module.named_parameters()}

    def ours(self, parameters: Mapping[str, Tensor], *inputs: Tensor) -> Tensor:
        return joined(self.program(parameters, *inputs))

    def theirs(self, parameters: Mapping[str, Tensor], *inputs: Tensor) -> Tensor:
        return joined(functional_call(self.module, dict(parameters), inputs))


def test_output_is_that_of_the_network(name: str, form: Form) -> None:
    pair = Pair(name, form)
    expected = pair.theirs(pair.trained, *pair.inputs)
    assert expected.std(0).max() > 1e-3  # samples differ: a constant network would prove nothing
    torch.testing.assert_close(pair.ours(pair.program.parameters, *pair.inputs), expected, **PRECISION)


def test_witness_agrees_in_single_precision(name: str, form: Form) -> None:
    both, inputs = lowered(name, form), build(name)[1]
    ours, theirs = both.program(both.program.parameters, *inputs), both.runtime(*inputs)
    # A few hundred roundings of single precision.
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_parameters_are_the_networks_own(name: str, form: Form) -> None:
    program, module = lowered(name, form).program, build(name)[0]
    assert list(program.parameters) == [key for key, _ in module.named_parameters()]
    for key, value in module.named_parameters():
        assert torch.equal(program.parameters[key], value.detach())


def test_buffers_are_the_networks_own_and_are_not_trained(name: str, form: Form) -> None:
    program, module = lowered(name, form).program, build(name)[0]
    known = dict(module.named_buffers())
    assert not program.buffers.keys() & program.parameters.keys()
    for key, value in program.buffers.items():
        assert key in known or key.startswith("lifted_tensor"), key
        assert key not in known or torch.equal(value, known[key])


def test_parameter_derivatives_of_first_and_second_order_are_the_networks(name: str, form: Form) -> None:
    pair = Pair(name, form)

    def along_itself(function: Callable[..., Tensor], parameters: Mapping[str, Tensor]) -> tuple[dict, dict]:
        slope, pull = vjp(grad(lambda values: loss(function(values, *pair.inputs))), dict(parameters))
        return slope, pull(dict(parameters))[0]

    with sdpa_kernel(SDPBackend.MATH):
        expected = along_itself(pair.theirs, pair.trained)
    for ours, theirs in zip(along_itself(pair.ours, pair.program.parameters), expected, strict=True):
        torch.testing.assert_close(ours, theirs, **PRECISION)


def test_input_derivatives_of_first_and_second_order_are_the_networks(name: str, form: Form) -> None:
    pair = Pair(name, form)
    x, *others = pair.inputs
    if not x.is_floating_point():
        pytest.skip("its inputs are whole numbers")
    v = torch.linspace(-1, 1, x.numel()).to(x).view_as(x)

    def slope(function: Callable[..., Tensor], parameters: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
        return grad(lambda z: loss(function(parameters, z, *others)))

    with sdpa_kernel(SDPBackend.MATH):
        expected, pull = vjp(slope(pair.theirs, pair.trained), x)
        expected_product = pull(v)[0]
    derivative, forward_over_reverse = jvp(slope(pair.ours, pair.program.parameters), (x,), (v,))
    torch.testing.assert_close(derivative, expected, **PRECISION)
    torch.testing.assert_close(forward_over_reverse, expected_product, **PRECISION)
    reverse_over_reverse = vjp(slope(pair.ours, pair.program.parameters), x)[1](v)[0]
    torch.testing.assert_close(reverse_over_reverse, expected_product, **PRECISION)


def test_samples_one_by_one_give_the_batch(name: str, form: Form) -> None:
    pair = Pair(name, form)
    parameters = pair.program.parameters
    rows = vmap(lambda *sample: pair.ours(parameters, *(part.unsqueeze(0) for part in sample)).squeeze(0))
    torch.testing.assert_close(rows(*pair.inputs), pair.ours(parameters, *pair.inputs), **PRECISION)


def test_batches_of_any_size_are_taken(name: str, form: Form) -> None:
    pair = Pair(name, form)
    batch = pair.ours(pair.program.parameters, *pair.inputs)
    for size in (1, 2):
        few = pair.ours(pair.program.parameters, *(tensor[:size] for tensor in pair.inputs))
        torch.testing.assert_close(few, batch[:size], **PRECISION)
    assert {spec.shape[0] for spec in pair.program.inputs if spec.shape} == {None}


def test_constants_follow_the_data_to_its_device(name: str, form: Form) -> None:
    """On the device without data, operands left behind on the CPU would be refused just as on an accelerator."""
    pair = Pair(name, form)
    elsewhere = pair.program.to(device=torch.device("meta"))
    y = joined(elsewhere(elsewhere.parameters, *(tensor.to("meta") for tensor in pair.inputs)))
    assert (y.device.type, y.dtype) == ("meta", torch.float64)
    assert y.shape == pair.theirs(pair.trained, *pair.inputs).shape


def test_nothing_is_kept_between_calls(name: str, form: Form) -> None:
    pair = Pair(name, form)
    given = [tensor.clone() for tensor in pair.inputs]
    first, second = (pair.ours(pair.program.parameters, *given) for _ in range(2))
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(given, pair.inputs, strict=True))


def test_watched_values_are_those_of_the_witness(name: str, form: Form) -> None:
    both, inputs = lowered(name, form), build(name)[1]
    watched = dict(both.program.watch(both.program.parameters, *inputs))
    witnessed = both.runtime.values(list(watched), *inputs)
    assert len(witnessed) >= 2
    for label, value in witnessed.items():
        if "attention" not in label and "rnn" not in label:
            # A few hundred roundings of single precision.
            torch.testing.assert_close(watched[label], value, rtol=1e-5, atol=1e-6)


def test_evaluation_mode_needs_no_remark_but_for_padding(name: str, form: Form) -> None:
    _, *notes = lowered(name, form).program.notes
    assert [note.partition(" ")[2].partition(" ")[0] for note in notes] == (["padding"] if name == "tokens" else [])
