"""What a random perturbation is."""

import abc
from typing import ClassVar

import torch
from torch import Tensor


class Perturbation(abc.ABC):
    """A random direction of change with mean 0 and variance 1 per feature, so that sizes mean the same for all."""

    name: ClassVar[str]

    @abc.abstractmethod
    def draw(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """One direction of the shape, dtype and device of ``like``."""
