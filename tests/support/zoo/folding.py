"""What torch's exporters do to parameters, done to the network itself."""

from collections.abc import Mapping
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from tests.support.zoo.architecture import Folding

NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)
IN_CONVOLUTION = "folded into {} convolution(s)"
COMPUTED = "{} stored tensor(s) were computed in advance"


def normalisation_in(*layers: type[nn.Module]) -> Folding:
    """Batch normalisation becomes part of the layer that stands before it in the same module."""

    def fold(module: nn.Module) -> nn.Module:
        for parent in list(module.modules()):
            children = list(parent.named_children())
            for (name, layer), (following, norm) in pairwise(children):
                if type(layer) in layers and isinstance(norm, NORMALISATIONS):
                    setattr(parent, name, _fused(layer, norm))
                    setattr(parent, following, nn.Identity())
        return module

    return fold


def _fused(layer: nn.Module, norm: nn.Module) -> nn.Module:
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval(layer, norm)
    return fuse_conv_bn_eval(layer, norm, transpose=isinstance(layer, nn.ConvTranspose2d))


def both(folding: Folding) -> Mapping[str, Folding]:
    """Both exporters do the same."""
    return {"torchscript": folding, "dynamo": folding}


def said_of_both(text: str) -> Mapping[str, str]:
    return {"torchscript": text, "dynamo": text}


def weight_norm_computed(module: nn.Module) -> nn.Module:
    """Direction and length of every normalised weight become the weight."""
    for parent in list(module.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, nn.Conv1d) and is_parametrized(layer, "weight"):
                setattr(parent, name, _plain(layer))
    return module


def _plain(layer: nn.Conv1d) -> nn.Conv1d:
    plain = nn.utils.skip_init(
        nn.Conv1d,
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        padding=layer.padding,
        dilation=layer.dilation,
    )
    plain.weight, plain.bias = nn.Parameter(layer.weight.detach()), layer.bias
    return plain
