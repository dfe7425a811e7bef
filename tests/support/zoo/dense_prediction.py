"""Networks whose output is an image again: U-Net, once with transposed convolutions and once with interpolation."""

import torch
from torch import Tensor, nn

from tests.support.zoo.architecture import Architecture, images
from tests.support.zoo.folding import IN_CONVOLUTION, both, normalisation_in, said_of_both


def double_conv(inner: int, outer: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU(),
        nn.Conv2d(outer, outer, 3, padding=1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(),
    )  # fmt: skip


class UNet(nn.Module):
    def __init__(self, up: nn.Module) -> None:
        super().__init__()
        self.inc, self.down = double_conv(1, 2), nn.Sequential(nn.MaxPool2d(2), double_conv(2, 4))
        self.up, self.merge, self.outc = up, double_conv(6, 2), nn.Conv2d(2, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skipped = self.inc(x)
        return self.outc(self.merge(torch.cat([skipped, self.up(self.down(skipped))], 1)))


def transposed_unet() -> nn.Module:
    return UNet(nn.Sequential(nn.ConvTranspose2d(4, 4, 2, stride=2), nn.BatchNorm2d(4), nn.ReLU()))


def interpolating_unet() -> nn.Module:
    return UNet(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True))


def half_pixel_unet() -> nn.Module:
    return UNet(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))


IN_CONV = normalisation_in(nn.Conv2d)
SIX = IN_CONVOLUTION.format(6)
DENSE_PREDICTION = {
    # Only the newer exporter folds into transposed convolutions.
    "unet": Architecture(
        transposed_unet,
        images(1, 6),
        torchscript=(17,),
        dynamo=(20,),
        folded={"torchscript": IN_CONV, "dynamo": normalisation_in(nn.Conv2d, nn.ConvTranspose2d)},
        said={"torchscript": SIX, "dynamo": IN_CONVOLUTION.format(7)},
    ),
    "unet_bilinear": Architecture(interpolating_unet, images(1, 6), (11,), (18,), both(IN_CONV), said_of_both(SIX)),
    "unet_half_pixel": Architecture(half_pixel_unet, images(1, 6), (19,), (23,), both(IN_CONV), said_of_both(SIX)),
}
