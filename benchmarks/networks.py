"""Networks to measure: untrained, since speed does not depend on the weights' values."""

import torch
from torch import Tensor, nn


def convolutional(size: int = 28) -> tuple[nn.Module, Tensor]:
    """A LeNet-like network with 32 images of its size."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * (size // 4) ** 2, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    return model.eval(), torch.randn(32, 1, size, size)


def perceptron() -> tuple[nn.Module, Tensor]:
    """Three hidden layers of 256 units, 64 samples of 128 features."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in ((128, 256), (256, 256), (256, 256)):
        layers += [nn.Linear(inputs, outputs), nn.GELU()]
    return nn.Sequential(*layers, nn.Linear(256, 10)).eval(), torch.randn(64, 128)


NETWORKS = {"convolutional": convolutional, "perceptron": perceptron}
