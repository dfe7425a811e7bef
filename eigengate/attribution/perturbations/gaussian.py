"""Gaussian noise."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from eigengate.attribution.perturbations.perturbation import Perturbation


@final
@dataclass(frozen=True)
class Gaussian(Perturbation):
    """Independent N(0, 1) for each feature."""

    name: ClassVar[str] = "gaussian"

    def draw(self, like: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
