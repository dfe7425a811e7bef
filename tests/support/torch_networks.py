"""Small networks of every family the lowering must understand, seeded, in evaluation mode, with an example batch."""

import io
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Example = tuple[nn.Module, Tensor]


def _images(channels: int = 1, size: int = 8) -> Tensor:
    return torch.randn(3, channels, size, size)


class ResidualNetwork(nn.Module):
    """Convolutions, batch normalisation with running statistics of its own, in-place ReLU and an in-place sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 3)
        for norm in (self.norm1, self.norm2):
            nn.init.uniform_(norm.running_mean, -0.3, 0.3)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
            nn.init.uniform_(norm.weight, 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.relu(self.norm1(self.stem(x)))
        out = self.norm2(self.conv(shortcut))
        out += shortcut
        out = self.pool(self.relu(out)).flatten(1)
        return self.head(out)


class SqueezeExcite(nn.Module):
    """Depthwise convolution, hard swish, and a gate of hard sigmoids, as in MobileNetV3."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.squeeze = nn.Conv2d(6, 2, 1)
        self.excite = nn.Conv2d(2, 6, 1)
        self.act = nn.Hardswish(inplace=True)
        self.gate = nn.Hardsigmoid()
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.depthwise(self.act(self.stem(x))))
        scale = functional.adaptive_avg_pool2d(x, 1)
        scale = self.gate(self.excite(functional.relu(self.squeeze(scale))))
        return self.head(self.drop((x * scale).mean([2, 3])))


class VisionTransformer(nn.Module):
    """Patch embedding, class token, learned positions, fused scaled dot-product attention."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.positions = nn.Parameter(torch.randn(1, 5, 8) * 0.1)
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.positions
        n, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, length, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        attended = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(attended.transpose(1, 2).reshape(n, length, width))
        x = x + self.mlp(self.norm2(x))
        return self.head(x[:, 0])


class EncoderClassifier(nn.Module):
    """PyTorch's own transformer encoder layer, whose inference path is a fused operator without derivative."""

    def __init__(self, *, norm_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            8, 2, 16, dropout=0.1, activation="gelu" if norm_first else "relu", batch_first=True, norm_first=norm_first
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).mean(1))


class EinsumAttention(nn.Module):
    """Attention written with einsum, a causal mask as a buffer, and masked filling."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
        self.register_buffer("mask", torch.triu(torch.ones(5, 5), 1).bool())
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores = torch.einsum("nid,njd->nij", self.q(x), self.k(x)) / 6**0.5
        weights = torch.softmax(scores.masked_fill(self.mask, float("-inf")), dim=-1)
        return self.head(torch.einsum("nij,njd->nid", weights, self.v(x)).mean(1))


class ControlFlow(nn.Module):
    """Loops and branches over values that no input changes, a list that grows, and an assignment into a slice."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 6) for _ in range(3)])
        self.head = nn.Linear(6, 3)
        self.depth = 2
        self.residual = True

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            y = torch.tanh(layer(x))
            x = x + y if self.residual and index > 0 else y
            kept.append(x)
        for step in range(self.depth):
            x = x + kept[step] if step % 2 == 0 else x * 0.5
        out = torch.zeros_like(x)
        out[:, :3] = x[:, :3]
        out[:, 3:] = torch.sin(x[:, 3:])
        return self.head(out)


class TokenClassifier(nn.Module):
    """Embeddings of token numbers, with a bidirectional LSTM on top."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.lstm = nn.LSTM(6, 5, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        states, _ = self.lstm(self.embedding(tokens))
        return self.head(states[:, -1])


class Recurrent(nn.Module):
    """A two-layer GRU and a plain recurrent layer over a sequence of vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 5, num_layers=2, batch_first=True)
        self.rnn = nn.RNN(5, 4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.gru(x)
        x, _ = self.rnn(x)
        return self.head(x[:, -1])


class TiedAutoencoder(nn.Module):
    """One matrix used twice: the decoder is the transposed encoder, and a second layer shares the first's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(6, 6)
        self.again = nn.Linear(6, 6)
        self.again.weight = self.encoder.weight
        self.bias = nn.Parameter(torch.randn(6))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.sigmoid(self.again(torch.sigmoid(self.encoder(x))))
        return hidden @ self.encoder.weight.t().t() + self.bias


class Upsampler(nn.Module):
    """Depthwise, dilated and transposed convolutions, and the three usual ways to enlarge an image."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(2, 4, 3, padding=1, groups=2)
        self.dilated = nn.Conv2d(4, 4, 3, padding=2, dilation=2, padding_mode="reflect")
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.shuffle = nn.PixelShuffle(2)
        self.head = nn.Conv2d(4, 12, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.elu(self.depthwise(x))
        x = functional.mish(self.dilated(x))
        fine = self.up(x)
        coarse = functional.interpolate(fine, scale_factor=0.5, mode="bilinear", align_corners=False)
        x = self.shuffle(self.head(x)) + functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
        return x.mean([2, 3])


def _mlp() -> Example:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Softplus(), nn.Linear(8, 3)), torch.randn(3, 6)


def _lenet() -> Example:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3),
        nn.ReLU(inplace=True), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6, 8), nn.Sigmoid(), nn.Linear(8, 3),
    )  # fmt: skip
    return network, _images()


def _normed() -> Example:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.SiLU(inplace=True), nn.Conv2d(4, 4, 3),
        nn.InstanceNorm2d(4, affine=True), nn.GELU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.LayerNorm(16), nn.LeakyReLU(0.1), nn.Linear(16, 3),
    )  # fmt: skip
    return network, _images()


def _tokens() -> Example:
    return TokenClassifier(), torch.randint(0, 11, (3, 5))


_BUILDERS: dict[str, Callable[[], Example]] = {
    "mlp": _mlp,
    "lenet": _lenet,
    "residual": lambda: (ResidualNetwork(), _images()),
    "squeeze_excite": lambda: (SqueezeExcite(), _images()),
    "normed": _normed,
    "encoder": lambda: (EncoderClassifier(norm_first=False), torch.randn(3, 5, 8)),
    "encoder_norm_first": lambda: (EncoderClassifier(norm_first=True), torch.randn(3, 5, 8)),
    "vision_transformer": lambda: (VisionTransformer(), _images()),
    "einsum_attention": lambda: (EinsumAttention(), torch.randn(3, 5, 6)),
    "control_flow": lambda: (ControlFlow(), torch.randn(3, 6)),
    "tokens": _tokens,
    "recurrent": lambda: (Recurrent(), torch.randn(3, 5, 4)),
    "tied": lambda: (TiedAutoencoder(), torch.randn(3, 6)),
    "upsampler": lambda: (Upsampler(), _images(channels=2, size=6)),
}


def build(name: str, seed: int = 0) -> Example:
    """A network of the zoo and an example batch; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network, example = _BUILDERS[name]()
    return network.eval(), example


def _builder(name: str) -> Callable[[], Example]:
    return lambda: build(name)


NETWORKS: dict[str, Callable[[], Example]] = {name: _builder(name) for name in _BUILDERS}


def torchscript(network: nn.Module, example: Tensor, form: str = "traced") -> bytes:
    """The network as a file: ``traced``, ``traced_inference`` (no gradients recorded), ``scripted`` or ``frozen``."""
    with warnings.catch_warnings():
        # That a trace keeps sizes it has seen is what some tests are about.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        if form == "traced":
            module = torch.jit.trace(network, example, check_trace=False)
        elif form == "traced_inference":
            with torch.no_grad():
                module = torch.jit.trace(network, example, check_trace=False)
        else:
            module = torch.jit.script(network)
    return saved(torch.jit.freeze(module) if form == "frozen" else module)


def saved(module: torch.jit.ScriptModule) -> bytes:
    """The bytes that ``torch.jit.save`` writes."""
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    return buffer.getvalue()
