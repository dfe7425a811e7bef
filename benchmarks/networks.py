"""Networks to measure: untrained, since speed does not depend on the weights' values; a batch that fits each."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def convolutional(size: int = 28) -> tuple[nn.Module, Tensor]:
    """A LeNet-like network with 32 images of its size."""
    model = nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * (size // 4) ** 2, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    return model, torch.randn(32, 1, size, size)


def perceptron() -> tuple[nn.Module, Tensor]:
    """Three hidden layers of 256 units, 64 samples of 128 features."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((128, 256), (256, 256), (256, 256)):
        layers += [nn.Linear(inputs, outputs), nn.GELU()]
    return nn.Sequential(*layers, nn.Linear(256, 10)), torch.randn(64, 128)


class ResidualNetwork(nn.Module):
    """Normalisation before activation before convolution, so that no exporter can fold it."""

    def __init__(self, width: int = 32, depth: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)) for _ in range(depth)
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class ConvNext(nn.Module):
    """Depthwise convolution, layer normalisation over channels, two linear maps, a gain."""

    def __init__(self, width: int = 48, depth: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 4, stride=4)
        self.depthwise = nn.ModuleList(nn.Conv2d(width, width, 7, padding=3, groups=width) for _ in range(depth))
        self.pointwise = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            for _ in range(depth)
        )
        self.gains = nn.ParameterList(torch.full((width,), 0.1 + 0.01 * i) for i in range(depth))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for depthwise, pointwise, gain in zip(self.depthwise, self.pointwise, self.gains, strict=True):
            mixed = pointwise(depthwise(x).permute(0, 2, 3, 1)) * gain
            x = x + mixed.permute(0, 3, 1, 2)
        return self.head(x.mean((2, 3)))


class VisionTransformer(nn.Module):
    """Patches of 4 x 4 pixels, three blocks of four heads."""

    def __init__(self, width: int = 96, depth: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.positions = nn.Parameter(0.02 * torch.randn(1, 64, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.projections = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(depth))
        self.outputs = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.perceptrons = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            for _ in range(depth)
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        layers = zip(self.norms, self.projections, self.outputs, self.perceptrons, strict=True)
        for norm, projection, output, perceptron_ in layers:
            n, length, width = x.shape
            heads = projection(norm(x)).reshape(n, length, 3, 4, width // 4).permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(heads[0], heads[1], heads[2])
            x = x + output(mixed.transpose(1, 2).reshape(n, length, width))
            x = x + perceptron_(x)
        return self.head(x.mean(1))


class RecurrentClassifier(nn.Module):
    """A bidirectional LSTM."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(16, width, batch_first=True, bidirectional=True), nn.Linear(2 * width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0].mean(1))


class UNet(nn.Module):
    """One level down and up again, bilinear."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.enter, self.deep = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, 2 * width, 3, padding=1)
        self.leave, self.head = nn.Conv2d(3 * width, width, 3, padding=1), nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = F.silu(self.enter(x))
        coarse = F.silu(self.deep(F.max_pool2d(fine, 2)))
        up = F.interpolate(coarse, scale_factor=2.0, mode="bilinear")
        return self.head(F.silu(self.leave(torch.cat([fine, up], 1)))).mean((2, 3))


def _seeded(build: Callable[[], tuple[nn.Module, Tensor]]) -> Callable[[], tuple[nn.Module, Tensor]]:
    def seeded() -> tuple[nn.Module, Tensor]:
        torch.manual_seed(0)
        model, x = build()
        return model.eval(), x

    return seeded


NETWORKS: Mapping[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "convolutional": _seeded(convolutional),
    "perceptron": _seeded(perceptron),
    "residual": _seeded(lambda: (ResidualNetwork(), torch.randn(16, 3, 32, 32))),
    "convnext": _seeded(lambda: (ConvNext(), torch.randn(16, 3, 32, 32))),
    "transformer": _seeded(lambda: (VisionTransformer(), torch.randn(16, 3, 32, 32))),
    "recurrent": _seeded(lambda: (RecurrentClassifier(), torch.randn(32, 40, 16))),
    "small recurrent": _seeded(lambda: (RecurrentClassifier(64), torch.randn(16, 20, 16))),
    "u-net": _seeded(lambda: (UNet(), torch.randn(8, 1, 32, 32))),
}
