"""What the tests know about a network: how to build it, what to feed it, how it is exported, what an exporter folds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

Inputs = Callable[[torch.Generator], tuple[Tensor, ...]]
Folding = Callable[[nn.Module], nn.Module]


@dataclass(frozen=True)
class Architecture:
    """A network of a published kind, small enough for dense derivatives.

    Args:
        build: Makes it, with torch's own random initialisation.
        inputs: Draws a batch of three for it.
        torchscript: Opsets in which the older exporter writes it; the networks share out 11 to 20 among them.
        dynamo: The same for the newer exporter, 18 to 23.
        folded: By exporter, what makes a copy of the network have the parameters that the exporter's file has, where
            these are not the network's own.
        said: By exporter, what the notes of that file must say; of other files they say nothing about folding.
        scripted: Whether the exporter is given the network's code, loops and all, instead of a trace of it.
    """

    build: Callable[[], nn.Module]
    inputs: Inputs
    torchscript: tuple[int, ...] = ()
    dynamo: tuple[int, ...] = ()
    folded: Mapping[str, Folding] = field(default_factory=dict)
    said: Mapping[str, str] = field(default_factory=dict)
    scripted: bool = False

    @property
    def exports(self) -> tuple[tuple[str, int], ...]:
        return (*(("torchscript", opset) for opset in self.torchscript), *(("dynamo", opset) for opset in self.dynamo))


def images(channels: int, size: int) -> Inputs:
    return lambda generator: (torch.randn(3, channels, size, size, generator=generator),)


def vectors(*sizes: int) -> Inputs:
    return lambda generator: (torch.randn(3, *sizes, generator=generator),)
