"""Networks for small devices, with gates over channels: MobileNetV3, EfficientNet, a squeeze-and-excite network."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.support.zoo.architecture import Architecture, images
from tests.support.zoo.folding import IN_CONVOLUTION, both, normalisation_in, said_of_both


class ChannelGate(nn.Module):
    def __init__(self, width: int, squeezed: int, activation: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(width, squeezed, 1), nn.Conv2d(squeezed, width, 1)
        self.activation, self.gate = activation, gate

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(self.fc2(self.activation(self.fc1(self.avgpool(x))))) * x


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, channel gate, linear projection, each normalised."""

    def __init__(self, width: int, expanded: int, size: int, activation: type[nn.Module], gate: nn.Module) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(width, expanded, 1, bias=False), nn.BatchNorm2d(expanded), activation())
        self.depthwise = nn.Sequential(
            nn.Conv2d(expanded, expanded, size, padding=size // 2, groups=expanded, bias=False),
            nn.BatchNorm2d(expanded, eps=0.001),
            activation(),
        )
        self.se = ChannelGate(expanded, 2, nn.ReLU(), gate)
        self.project = nn.Sequential(nn.Conv2d(expanded, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(self.se(self.depthwise(self.expand(x))))


class MobileNetV3(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.Hardswish())
        self.blocks = nn.Sequential(
            InvertedResidual(4, 6, 3, nn.ReLU, nn.Hardsigmoid()),
            InvertedResidual(4, 8, 5, nn.Hardswish, nn.Hardsigmoid()),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Linear(4, 6), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(6, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.pool(self.blocks(self.stem(x))), 1))


class EfficientNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.SiLU())
        self.blocks = nn.Sequential(InvertedResidual(4, 8, 3, nn.SiLU, nn.Sigmoid()))
        self.head = nn.Sequential(nn.Conv2d(4, 6, 1, bias=False), nn.BatchNorm2d(6), nn.SiLU())
        self.classifier = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(self.blocks(self.stem(x)))
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


class SqueezeExciteNet(nn.Module):
    """Activations with a trained slope, pooling of both kinds, weights shared between two gates."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.act1 = nn.Conv2d(3, 4, 3, padding=1), nn.PReLU(4)
        self.conv2, self.act2 = nn.Conv2d(4, 4, 3, padding=2, dilation=2), nn.PReLU()
        self.down, self.up = nn.Linear(4, 2), nn.Linear(2, 4, bias=False)
        self.fc = nn.Linear(4, 3)

    def _squeezed(self, pooled: Tensor) -> Tensor:
        return self.up(F.relu6(self.down(pooled.flatten(1))))

    def forward(self, x: Tensor) -> Tensor:
        x = self.act2(self.conv2(self.act1(self.conv1(x))))
        gate = self._squeezed(F.adaptive_avg_pool2d(x, 1)) + self._squeezed(F.adaptive_max_pool2d(x, 1))
        return self.fc((x * torch.sigmoid(gate)[:, :, None, None]).mean((2, 3)))


IN_CONV = normalisation_in(nn.Conv2d)
MOBILE = {
    "mobilenet_v3": Architecture(
        MobileNetV3, images(3, 8), (13, 14), (22,), both(IN_CONV), said_of_both(IN_CONVOLUTION.format(7))
    ),
    "efficientnet": Architecture(
        EfficientNet, images(3, 8), (16,), (21,), both(IN_CONV), said_of_both(IN_CONVOLUTION.format(5))
    ),
    "squeeze_excite_prelu": Architecture(SqueezeExciteNet, images(3, 6), torchscript=(19,), dynamo=(18,)),
}
