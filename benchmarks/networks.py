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
        for norm, _, _ in self.blocks:
            # As after training: freezing makes one constant of equal ones, such as a mean and a shift of zero.
            nn.init.uniform_(norm.running_mean, -0.3, 0.3)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class ConvNextBlock(nn.Module):
    """Depthwise convolution, layer normalisation over channels, two linear maps, a gain."""

    def __init__(self, width: int, gain: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.pointwise = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.gain = nn.Parameter(torch.full((width,), gain))

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.pointwise(self.depthwise(x).permute(0, 2, 3, 1)) * self.gain
        return x + mixed.permute(0, 3, 1, 2)


class ConvNext(nn.Module):
    """Three blocks over patches of 4 x 4 pixels."""

    def __init__(self, width: int = 48, depth: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 4, stride=4)
        self.blocks = nn.Sequential(*(ConvNextBlock(width, 0.1 + 0.01 * i) for i in range(depth)))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class TransformerBlock(nn.Module):
    """Attention of four heads and a perceptron, each after a normalisation and beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.projection = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        heads = self.projection(self.norm(x)).reshape(n, length, 3, 4, width // 4).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(heads[0], heads[1], heads[2])
        x = x + self.output(mixed.transpose(1, 2).reshape(n, length, width))
        return x + self.perceptron(x)


class VisionTransformer(nn.Module):
    """Three blocks over patches of 4 x 4 pixels."""

    def __init__(self, width: int = 96, depth: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.positions = nn.Parameter(0.02 * torch.randn(1, 64, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width) for _ in range(depth)))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.blocks(x).mean(1))


class RecurrentClassifier(nn.Module):
    """A bidirectional LSTM."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(16, width, batch_first=True, bidirectional=True), nn.Linear(2 * width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0].mean(1))


class RecurrentCell(nn.Module):
    """A gated recurrent cell of 64 units, unrolled by the network itself: many small operators."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(16, 64), nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.cell(x[:, 0])
        for t in range(1, x.shape[1]):
            h = self.cell(x[:, t], h)
        return self.head(h)


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
    "recurrent cell": _seeded(lambda: (RecurrentCell(), torch.randn(16, 20, 16))),
    "u-net": _seeded(lambda: (UNet(), torch.randn(8, 1, 32, 32))),
}
