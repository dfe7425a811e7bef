"""First, second and forward derivatives through whole layers, traced and exported, against eager float64.

References are reverse mode of the eager layer alone and central differences of its gradient: ``torch.func`` gives wrong
second derivatives of layer normalisation when its vmaps are nested, and none at all of fused kernels.
"""

import functools
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, jacrev, jvp, vjp, vmap
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from eigengate.loading import FunctionalModel, load_model
from tests.support.exported_networks import exported
from tests.support.torch_networks import torchscript

pytestmark = [
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


class Layers(nn.Module):
    """A layer of 3 steps by 8 features, and what is made of it."""

    def __init__(self, *layers: nn.Module, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.layers, self.function = nn.ModuleList(layers), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x.sin() + 0.3 * x, *self.layers).flatten(1)


def _heads(x: Tensor) -> Tensor:
    return x.unflatten(-1, (2, 4)).transpose(1, 2)


def _attention(mask: Tensor | None = None, **options: object) -> nn.Module:
    def attend(x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(_heads(x), _heads(x.cos()), _heads(x * x), attn_mask=mask, **options)

    return Layers(function=attend)


def _packed(x: Tensor, layer: nn.RNNBase) -> Tensor:
    lengths = torch.full((x.shape[0],), 2)
    packed = pack_padded_sequence(x, lengths, batch_first=True)
    return pad_packed_sequence(layer(packed)[0], batch_first=True)[0]


def _images(x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], 2, 3, 4)


def _sampled(x: Tensor) -> Tensor:
    grid = 1.2 * torch.tanh(_images(x).permute(0, 2, 3, 1))
    return F.grid_sample(_images(x), grid, align_corners=False)


def _first(x: Tensor, layer: nn.Module) -> Tensor:
    return layer(x)[0]


def _normalised(layer: nn.Module) -> nn.Module:
    """Away from scale one and shift zero, where mistakes do not show."""
    for tensor in (*layer.parameters(), *layer.buffers()):
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 1.5)
    return Layers(layer, function=lambda x, layer: layer(_images(x) if layer.__class__ in _PLANAR else x))


_PLANAR = (nn.GroupNorm, nn.BatchNorm2d, nn.InstanceNorm2d)
_LOWER = torch.ones(3, 3, dtype=torch.bool).tril()

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "attention": _attention,
    "attention_causal": lambda: _attention(is_causal=True),
    "attention_masked": lambda: _attention(_LOWER),
    "multi_head": lambda: Layers(
        nn.MultiheadAttention(8, 2, batch_first=True), function=lambda x, layer: layer(x, x, x)[0]
    ),
    "encoder": lambda: Layers(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu"), function=lambda x, layer: layer(x)
    ),
    "rnn": lambda: Layers(nn.RNN(8, 3, batch_first=True), function=_first),
    "gru": lambda: Layers(nn.GRU(8, 3, 2, batch_first=True), function=_first),
    "lstm_both_ways": lambda: Layers(nn.LSTM(8, 3, batch_first=True, bidirectional=True), function=_first),
    "lstm_packed": lambda: Layers(nn.LSTM(8, 3, batch_first=True), function=_packed),
    "lstm_cell": lambda: Layers(nn.LSTMCell(8, 3), function=lambda x, cell: cell(x[:, 0], cell(x[:, 1]))[0]),
    "gru_cell": lambda: Layers(nn.GRUCell(8, 3), function=lambda x, cell: cell(x[:, 0], cell(x[:, 1]))),
    "group_norm": lambda: _normalised(nn.GroupNorm(2, 2)),
    "layer_norm": lambda: _normalised(nn.LayerNorm(8)),
    "batch_norm": lambda: _normalised(nn.BatchNorm2d(2)),
    "instance_norm": lambda: _normalised(nn.InstanceNorm2d(2, affine=True)),
    "bilinear": lambda: Layers(function=lambda x: F.interpolate(_images(x), size=(5, 6), mode="bilinear")),
    "bicubic": lambda: Layers(
        function=lambda x: F.interpolate(_images(x), size=(5, 6), mode="bicubic", align_corners=True)
    ),
    "grid_sample": lambda: Layers(function=_sampled),
    "channels_last": lambda: Layers(
        nn.Conv2d(2, 3, 3, padding=1),
        function=lambda x, layer: layer(_images(x).contiguous(memory_format=torch.channels_last)),
    ),
}
# A packed sequence reads its lengths, which torch.export does not trace.
EXPORTED = tuple(name for name in LAYERS if name != "lstm_packed")


@functools.cache
def example(name: str) -> tuple[nn.Module, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LAYERS[name]().eval(), torch.randn(2, 3, 8)


def require_every_derivative(model: FunctionalModel, network: nn.Module, x: Tensor) -> None:
    lowered, eager = model.to(dtype=torch.float64), network.double()
    x = x.double()
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)

    def one(sample: Tensor) -> Tensor:
        return lowered.apply(lowered.params, sample[None])[0]

    def score(inputs: Tensor) -> Tensor:
        return lowered.apply(lowered.params, inputs).sin().sum()

    def eager_gradient(inputs: Tensor) -> Tensor:
        leaf = inputs.detach().clone().requires_grad_()
        return torch.autograd.grad(eager(leaf).sin().sum(), leaf)[0]

    exact = {"rtol": 1e-8, "atol": 1e-9}  # float64, the same sums in another order
    jacobians = vmap(jacrev(one))(x)
    for sample, jacobian in zip(x, jacobians, strict=True):
        expected = torch.autograd.functional.jacobian(lambda inputs: eager(inputs[None])[0], sample)
        torch.testing.assert_close(jacobian, expected, **exact)
    pushed = jvp(lambda inputs: lowered.apply(lowered.params, inputs), (x,), (v,))[1]
    torch.testing.assert_close(pushed, torch.einsum("nc...,n...->nc", jacobians, v), **exact)
    torch.testing.assert_close(grad(score)(x), eager_gradient(x), **exact)
    step = 1e-5  # its square times the third derivative, and rounding by the step, are below 1e-8
    second = (eager_gradient(x + step * v) - eager_gradient(x - step * v)) / (2 * step)
    near = {"rtol": 1e-6, "atol": 1e-7}
    torch.testing.assert_close(jvp(grad(score), (x,), (v,))[1], second, **near)
    torch.testing.assert_close(vjp(grad(score), x)[1](v)[0], second, **near)
    leaf = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(score(leaf), leaf, create_graph=True)
    torch.testing.assert_close(torch.autograd.grad((first * v).sum(), leaf)[0], second, **near)


@pytest.mark.parametrize("form", ["traced", "traced_inference"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_traced_layer_has_every_derivative(name: str, form: str) -> None:
    network, x = example(name)
    model = load_model(torchscript(network.float(), x, form))
    require_every_derivative(model, network, x)


@pytest.mark.parametrize("name", EXPORTED)
def test_an_exported_layer_has_every_derivative(name: str) -> None:
    network, x = example(name)
    model = load_model(exported(network.float(), (x,)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        require_every_derivative(model, network, x)
