"""Uniform noise in a cube."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from eigengate.attribution.perturbations.perturbation import Perturbation


@final
@dataclass(frozen=True)
class Uniform(Perturbation):
    """Independent U(−√3, √3) for each feature: the L∞ ball whose radius gives variance 1."""

    name: ClassVar[str] = "uniform"

    def draw(self, like: Tensor, generator: torch.Generator) -> Tensor:
        unit = torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
        return math.sqrt(3) * (2 * unit - 1)
