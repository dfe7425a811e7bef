"""The lowered program against the eager network: values and derivatives of first and second order, in float64."""

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, jacfwd, jacrev, jvp, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from eigengate.loading.torchscript import TorchScriptProgram, read_torchscript
from tests.support.torch_networks import NETWORKS, SqueezeExcite, torchscript

# Of the two kinds of trace the one without gradients holds the fused operators that have no derivative; a frozen module
# is a scripted one with its parameters turned into constants.
FORMS = ("traced_inference", "frozen")
# Both sides do the same arithmetic in float64, in an order that fused kernels choose differently; the largest
# intermediate values are of order 10 and derivatives of normalisations amplify rounding about a thousandfold.
TOLERANCE = {"rtol": 1e-9, "atol": 1e-10}

Params = dict[str, Tensor]


@functools.cache
def lowered(name: str, form: str) -> TorchScriptProgram:
    network, example = NETWORKS[name]()
    # Freezing folds batch normalisation into convolutions; done in float64 the folding rounds no more than the rest.
    if form == "frozen":
        network, example = network.double(), example.double() if example.is_floating_point() else example
    program = read_torchscript(torchscript(network, example, form)).program
    assert isinstance(program, TorchScriptProgram)
    return program.to(dtype=torch.float64)


@functools.cache
def eager(name: str) -> tuple[nn.Module, Tensor]:
    network, example = NETWORKS[name]()
    if isinstance(network, SqueezeExcite):
        # PyTorch has no second derivative of its hard sigmoid; this is the same function.
        network.gate = nn.Sequential(Shift(), nn.ReLU6(), Sixth())
    return network.double(), example.double() if example.is_floating_point() else example


class Shift(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 3.0


class Sixth(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 6.0


def direction(like: Tensor, seed: int = 7) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def score(output: Tensor) -> Tensor:
    """A scalar whose second derivative is not that of a sum of logits alone."""
    return torch.sin(output).sum()


def eager_hvp(function: Callable[[], Tensor], wrt: list[Tensor], vectors: list[Tensor]) -> list[Tensor]:
    """Hessian-vector product by double backward, with attention kernels that have a second derivative."""
    with sdpa_kernel(SDPBackend.MATH):
        gradients = torch.autograd.grad(function(), wrt, create_graph=True)
        product = sum((g * v).sum() for g, v in zip(gradients, vectors, strict=True))
        return list(torch.autograd.grad(product, wrt, allow_unused=True, materialize_grads=True))


differentiable_input = pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"tokens"}))


@pytest.fixture(params=sorted(NETWORKS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("form", ["traced", "scripted", *FORMS])
def test_forward_equals_eager(name, form):
    network, x = eager(name)
    program = lowered(name, form)
    (output,) = program(program.parameters, x)
    torch.testing.assert_close(output, network(x), **TOLERANCE)


@differentiable_input
def test_input_jacobian_equals_eager_in_both_modes_and_sample_by_sample(name, form):
    network, x = eager(name)
    program = lowered(name, form)

    def one(sample: Tensor) -> Tensor:
        return program(program.parameters, sample[None])[0][0]

    with sdpa_kernel(SDPBackend.MATH):
        expected = torch.stack([torch.autograd.functional.jacobian(lambda s: network(s[None])[0], s) for s in x])
    torch.testing.assert_close(vmap(jacrev(one))(x), expected, **TOLERANCE)
    torch.testing.assert_close(vmap(jacfwd(one))(x), expected, **TOLERANCE)


@differentiable_input
def test_input_hessian_products_equal_eager_by_both_routes(name, form):
    network, x = eager(name)
    program, v = lowered(name, form), direction(x)
    gradient = grad(lambda inputs: score(program(program.parameters, inputs)[0]))
    leaf = x.clone().requires_grad_()
    (expected,) = eager_hvp(lambda: score(network(leaf)), [leaf], [v])
    torch.testing.assert_close(jvp(gradient, (x,), (v,))[1], expected, **TOLERANCE)
    torch.testing.assert_close(vjp(gradient, x)[1](v)[0], expected, **TOLERANCE)


# A frozen module has parameters of its own, and a scripted one runs the same plan as its trace up to control flow.
@pytest.mark.parametrize("form", ["traced_inference"])
def test_parameter_hessian_products_equal_eager_by_both_routes(name, form):
    network, x = eager(name)
    program = lowered(name, form)
    params = dict(program.parameters)
    vectors = {key: direction(tensor, seed) for seed, (key, tensor) in enumerate(params.items())}
    gradient = grad(lambda p: score(program(p, x)[0]))
    leaves = dict(network.named_parameters())
    assert leaves.keys() == params.keys()
    expected = eager_hvp(lambda: score(network(x)), list(leaves.values()), [vectors[key] for key in leaves])
    forward = jvp(gradient, (params,), (vectors,))[1]
    backward = vjp(gradient, params)[1](vectors)[0]
    for key, reference in zip(leaves, expected, strict=True):
        torch.testing.assert_close(forward[key], reference, **TOLERANCE)
        torch.testing.assert_close(backward[key], reference, **TOLERANCE)


def test_per_sample_gradients_add_up_to_the_batch_gradient(name):
    program, x = lowered(name, "scripted"), eager(name)[1]
    params = dict(program.parameters)
    gradient = grad(lambda p, inputs: score(program(p, inputs)[0]))
    singles, whole = vmap(gradient, (None, 0))(params, x[:, None]), gradient(params, x)
    for key in params:
        torch.testing.assert_close(singles[key].sum(0), whole[key], **TOLERANCE)


def test_frozen_constants_give_back_every_trained_tensor(name):
    network, x = eager(name)
    program = lowered(name, "frozen")
    params = dict(program.parameters)
    assert any("frozen" in note for note in program.notes)
    gradient = grad(lambda p: score(program(p, x)[0]))(params)
    used = [key for key in params if gradient[key].abs().max() > 0]
    assert used
    # Freezing folds normalisations and merges equal tensors but never invents a parameter.
    assert sum(params[key].numel() for key in params) <= sum(p.numel() for p in network.parameters()) + 16


def test_tied_weights_are_one_parameter_whose_gradient_counts_every_use():
    network, x = eager("tied")
    program = lowered("tied", "traced")
    assert list(program.parameters) == [key for key, _ in network.named_parameters()]
    gradient = grad(lambda p: score(program(p, x)[0]))(dict(program.parameters))
    (expected,) = torch.autograd.grad(score(network(x)), [network.encoder.weight])
    torch.testing.assert_close(gradient["encoder.weight"], expected, **TOLERANCE)


def test_a_program_leaves_its_arguments_and_itself_unchanged(name):
    network, x = NETWORKS[name]()
    program = read_torchscript(torchscript(network, x, "scripted")).program
    before = {key: tensor.clone() for key, tensor in {**program.parameters, **program.buffers}.items()}
    input_before = x.clone()
    first = program(program.parameters, x)[0]
    second = program(program.parameters, x)[0]
    assert torch.equal(first, second)
    assert torch.equal(x, input_before)
    for key, tensor in {**program.parameters, **program.buffers}.items():
        assert torch.equal(tensor, before[key])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_a_scripted_network_is_fed_what_its_weights_are(dtype):
    program = read_torchscript(torchscript(nn.Linear(3, 2).to(dtype), torch.ones(1, 3), "scripted")).program
    assert program.inputs[0].dtype == dtype
