"""Networks of convolutions: ConvNeXt, ResNet, DenseNet, Inception, ShuffleNet, a style network."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.support.zoo.architecture import Architecture, images
from tests.support.zoo.folding import COMPUTED, IN_CONVOLUTION, both, normalisation_in, said_of_both


class ChannelsFirstNorm(nn.LayerNorm):
    """Layer normalisation over the channels of an image."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1, self.act, self.pwconv2 = nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        self.gamma = nn.Parameter(1e-6 * torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(self.act(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 2, stride=2), ChannelsFirstNorm(4, eps=1e-6))
        self.stage1 = ConvNeXtBlock(4)
        self.downsample = nn.Sequential(ChannelsFirstNorm(4, eps=1e-6), nn.Conv2d(4, 6, 2, stride=2))
        self.stage2 = ConvNeXtBlock(6)
        self.norm, self.head = nn.LayerNorm(6, eps=1e-6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage2(self.downsample(self.stage1(self.stem(x))))
        return self.head(self.norm(x.mean((-2, -1))))


class BasicBlock(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer)
        self.conv2, self.bn2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer)
        changes = stride > 1 or inner != outer
        self.downsample = (
            nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer)) if changes else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 5, 2, 2, bias=False), nn.BatchNorm2d(4)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1, self.layer2 = BasicBlock(4, 4, 1), BasicBlock(4, 6, 2)
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(self.layer2(self.layer1(x))), 1))


class DenseLayer(nn.Module):
    def __init__(self, inner: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inner), nn.Conv2d(inner, 4, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(4), nn.Conv2d(4, growth, 3, padding=1, bias=False)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = self.conv1(F.relu(self.norm1(torch.cat(features, 1))))
        return self.conv2(F.relu(self.norm2(x)))


class DenseNet(nn.Module):
    """What follows a concatenation is normalised as it is; what follows a convolution is folded into it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0, self.norm0 = nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4)
        self.layers = nn.ModuleList([DenseLayer(4, 2), DenseLayer(6, 2)])
        self.transition = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1, bias=False), nn.AvgPool2d(2))
        self.norm5, self.classifier = nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = [F.relu(self.norm0(self.conv0(x)))]
        for layer in self.layers:
            features.append(layer(features))
        x = F.relu(self.norm5(self.transition(torch.cat(features, 1))))
        return self.classifier(F.adaptive_avg_pool2d(x, (1, 1)).flatten(1))


class ConvNorm(nn.Module):
    def __init__(self, inner: int, outer: int, size: int | tuple[int, int], padding: int | tuple[int, int] = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inner, outer, size, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(outer, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Branches of different receptive fields, factorised filters, local response normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.LocalResponseNorm(3, 0.5))
        self.branch1 = ConvNorm(4, 2, 1)
        self.branch3 = nn.Sequential(ConvNorm(4, 2, 1), ConvNorm(2, 3, 3, padding=1))
        self.branch7 = nn.Sequential(ConvNorm(4, 2, (1, 5), (0, 2)), ConvNorm(2, 2, (5, 1), (2, 0)))
        self.pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), ConvNorm(4, 2, 1))
        self.fc = nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([self.branch1(x), self.branch3(x), self.branch7(x), self.pool(x)], 1)
        return self.fc(F.avg_pool2d(x, 3, stride=2, count_include_pad=False).mean((2, 3)))


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    batch, channels, height, width = x.shape
    x = x.view(batch, groups, channels // groups, height, width).transpose(1, 2).contiguous()
    return x.view(batch, -1, height, width)


class ShuffleUnit(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.branch = nn.Sequential(
            nn.Conv2d(half, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU(),
            nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False), nn.BatchNorm2d(half),
            nn.Conv2d(half, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = x.chunk(2, dim=1)
        return channel_shuffle(torch.cat([kept, self.branch(changed)], 1), 2)


class ShuffleNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.grouped = nn.Conv2d(8, 8, 1, groups=2)
        self.units = nn.Sequential(ShuffleUnit(8), ShuffleUnit(8))
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = channel_shuffle(self.grouped(F.max_pool2d(F.relu(self.stem(x)), 2)), 4)
        return self.fc(self.units(x).mean([2, 3]))


class StyleNetwork(nn.Module):
    """Reflected borders, instance and group normalisation, upsampling by repetition."""

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(1)
        self.conv1, self.norm1 = nn.Conv2d(3, 4, 3, stride=2), nn.InstanceNorm2d(4, affine=True)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3), nn.GroupNorm(2, 4)
        self.plain = nn.InstanceNorm2d(4)
        self.up, self.conv3 = nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(4, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv1(self.pad(x))))
        x = self.plain(x + F.softplus(self.norm2(self.conv2(self.pad(x)))))
        return torch.tanh(self.conv3(self.pad(self.up(x))))


IN_CONV = normalisation_in(nn.Conv2d)
CONVOLUTIONAL = {
    "convnext": Architecture(ConvNeXt, images(3, 8), torchscript=(11, 17), dynamo=(18,)),
    "resnet": Architecture(ResNet, images(3, 16), (12,), (19,), both(IN_CONV), said_of_both(IN_CONVOLUTION.format(6))),
    "densenet": Architecture(
        DenseNet, images(3, 8), (13,), (20,), both(IN_CONV), said_of_both(IN_CONVOLUTION.format(3))
    ),
    "inception": Architecture(
        Inception, images(3, 7), (14,), (21,), both(IN_CONV), said_of_both(IN_CONVOLUTION.format(6))
    ),
    "shufflenet": Architecture(
        ShuffleNet, images(3, 12), (15,), (22,), both(IN_CONV), said_of_both(IN_CONVOLUTION.format(6))
    ),
    "style": Architecture(
        # The older exporter gives scale and shift of a group normalisation the shape of an image.
        StyleNetwork,
        images(3, 6),
        (18,),
        (23,),
        said={"torchscript": COMPUTED.format(2)},
    ),
}
