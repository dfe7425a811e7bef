"""Small networks of every common kind, and their ONNX files from both of torch's exporters."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.support.zoo import ARCHITECTURES


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.classifier = nn.Linear(4 * 2 * 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


class ResidualBlock(nn.Module):
    """Normalisation before the convolution, so that no exporter can fold it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.conv(F.silu(self.norm1(F.elu(x))))
        return self.head(F.adaptive_avg_pool2d(self.norm2(F.leaky_relu(x)), 1).flatten(1))


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, dilation=2)
        self.down, self.up = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)
        self.activation = nn.PReLU(4)
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.conv(x))
        gate = torch.sigmoid(self.up(F.mish(self.down(F.adaptive_avg_pool2d(x, 1)))))
        return self.head(F.adaptive_avg_pool2d(x * gate, (1, 1))).flatten(1)


class MobileBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.expand, self.norm = nn.Conv2d(2, 6, 1, bias=False), nn.GroupNorm(3, 6)
        self.depthwise, self.instance = nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.InstanceNorm2d(6, affine=True)
        self.up = nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.swish, self.gate = nn.Hardswish(), nn.Hardsigmoid()
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.swish(self.norm(self.expand(x)))
        x = x * self.gate(self.instance(self.depthwise(x)))
        return self.head(F.softplus(self.up(x)).mean((2, 3)))


class PlainGate(nn.Module):
    """Hard sigmoid, or hard swish, from primitives: torch's own kernels have no second derivative."""

    def __init__(self, times_input: bool) -> None:
        super().__init__()
        self.times_input = times_input

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.clamp(x / 6 + 0.5, 0, 1)
        return x * gate if self.times_input else gate


def twice_differentiable(module: nn.Module) -> nn.Module:
    """The same network, with layers that torch cannot differentiate twice replaced by plain ones, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.Hardswish | nn.Hardsigmoid):
            setattr(module, name, PlainGate(isinstance(child, nn.Hardswish)))
        else:
            twice_differentiable(child)
    return module


class VisionTransformer(nn.Module):
    """Patches, a class token, learned positions, multi-head attention with its fused projection."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 6, 4, stride=4)
        self.class_token = nn.Parameter(torch.zeros(1, 1, 6))
        self.positions = nn.Parameter(torch.zeros(1, 5, 6))
        self.norm1, self.norm2 = nn.LayerNorm(6), nn.LayerNorm(6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 6))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(tokens.shape[0], -1, -1), tokens], 1) + self.positions
        normed = self.norm1(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        return self.head((tokens + self.mlp(self.norm2(tokens)))[:, 0])


class CausalEncoder(nn.Module):
    """Attention written with scaled_dot_product_attention, causal, with split projections and a layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(6, 18, bias=False), nn.Linear(6, 6)
        self.gain = nn.Parameter(torch.ones(6))
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        query, key, value = (
            part.reshape(batch, length, 2, width // 2).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, -1)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.gain * self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return self.head(x.mean(1))


class EinsumNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.core = nn.Parameter(torch.zeros(4, 5, 4))
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        bilinear = torch.einsum("bi,ijk,bk->bj", x, self.core, x)
        scaled = bilinear / bilinear.norm(dim=1, keepdim=True).clamp(min=0.1)
        return self.head(torch.where(scaled > 0, scaled, scaled.exp() - 1).pow(2) + scaled)


class TokenClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(11, 6), nn.Embedding(7, 6)
        self.encoder = nn.TransformerEncoderLayer(6, 2, 8, activation="gelu", batch_first=True, norm_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        return self.head(self.encoder(self.tokens(ids) + self.places(places)).mean(1))


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 6), nn.SELU(), nn.Linear(6, 3))


def _images(channels: int, size: int) -> Callable[[torch.Generator], Tensor]:
    return lambda generator: torch.randn(4, channels, size, size, generator=generator)


ZOO: Mapping[str, tuple[Callable[[], nn.Module], Callable[[torch.Generator], Tensor]]] = {
    "mlp": (_mlp, lambda generator: torch.randn(4, 5, generator=generator)),
    "lenet": (LeNet, _images(1, 10)),
    "residual": (ResidualBlock, _images(2, 8)),
    "squeeze_excite": (SqueezeExcite, _images(2, 7)),
    "mobile": (MobileBlock, _images(2, 5)),
    "vision_transformer": (VisionTransformer, _images(1, 8)),
    "causal_encoder": (CausalEncoder, lambda generator: torch.randn(4, 5, 6, generator=generator)),
    "einsum": (EinsumNet, lambda generator: torch.randn(4, 4, generator=generator)),
    "token_classifier": (TokenClassifier, lambda generator: torch.randint(0, 11, (4, 7), generator=generator)),
}


@cache
def network(name: str) -> tuple[nn.Module, Tensor]:
    """A network of the zoo in evaluation mode with random weights and statistics, and a batch of four for it."""
    build, inputs = ZOO[name]
    generator = torch.Generator().manual_seed(len(name))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build().eval()
    for parameter in module.parameters():
        parameter.data = 0.4 * torch.randn(parameter.shape, generator=generator)
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.data = 0.5 + torch.rand(buffer.shape, generator=generator)
    return module, inputs(generator)


@cache
def exported(name: str, exporter: str, opset: int) -> bytes:
    """The zoo's network as an ONNX file with a free batch size."""
    module, x = network(name)
    return export(module, x, exporter, opset)


@cache
def architecture(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A published architecture in evaluation mode, as if trained: nothing is one or zero any more; and its batch."""
    generator = torch.Generator().manual_seed(len(name))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = ARCHITECTURES[name].build().eval()
    for parameter in module.parameters():
        spread = 0.3 if parameter.ndim < 2 else (parameter.shape[0] / parameter.numel()) ** 0.5
        parameter.data = parameter.data + spread * torch.randn(parameter.shape, generator=generator)
    for key, buffer in module.named_buffers():
        if key.endswith("running_mean"):
            buffer.copy_(0.2 * torch.randn(buffer.shape, generator=generator))
        elif key.endswith("running_var"):
            buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return module, ARCHITECTURES[name].inputs(generator)


@cache
def exported_architecture(name: str, exporter: str, opset: int) -> bytes:
    """A published architecture as an ONNX file with a free batch size."""
    module, inputs = architecture(name)
    is_scripted = ARCHITECTURES[name].scripted
    return export(torch.jit.script(module) if is_scripted else module, inputs, exporter, opset)


def export(module: nn.Module, inputs: Tensor | tuple[Tensor, ...], exporter: str, opset: int) -> bytes:
    """Any network as an ONNX file with a free batch size, by the exporter called ``torchscript`` or ``dynamo``."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    with _quiet():
        if exporter == "dynamo":
            batch = torch.export.Dim("batch")
            shapes = tuple({0: batch} for _ in inputs)
            program = torch.onnx.export(
                module, inputs, dynamo=True, opset_version=opset, dynamic_shapes=shapes, verbose=False
            )
            assert program is not None
            return program.model_proto.SerializeToString()
        file = io.BytesIO()
        names = ["x", *(f"x{position}" for position in range(1, len(inputs)))]
        free = {name: {0: "batch"} for name in names}
        torch.onnx.export(module, inputs, file, dynamo=False, opset_version=opset, input_names=names, dynamic_axes=free)
        return file.getvalue()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Both exporters warn of their own deprecations and log to the terminal."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
