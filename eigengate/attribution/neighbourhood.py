"""The perturbed copies of the probe samples."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eigengate.attribution.perturbations import Gaussian, Perturbation
from eigengate.attribution.spread import spread


@final
@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """x_i + s·(δ_x/√d)·z_ij for every sample i, draw j and relative size s; rows run over (i, j, s), s fastest.

    ``stream`` gives the generator of a name. Each z_ij has its own, so that a copy does not depend on batches, on the
    number of samples or on who asks first; all sizes share z_ij, so that a curve over sizes shows size and not luck.
    δ_x is the spread of ``population``, of x itself where that is None.
    """

    x: Float[Tensor, "n *shape"]
    sizes: tuple[float, ...]
    draws: int
    stream: Callable[[str], torch.Generator]
    perturbation: Perturbation = field(default_factory=Gaussian)
    population: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """n, D, S."""
        return self.x.shape[0], self.draws, len(self.sizes)

    def row(self, sample: int, draw: int, size: int) -> Int[Tensor, " 1"]:
        """The row of one copy."""
        return torch.tensor([(sample * self.draws + draw) * len(self.sizes) + size], device=self.x.device)

    def samples(self, rows: Int[Tensor, " k"]) -> Int[Tensor, " k"]:
        """Which sample each row is a copy of."""
        return rows // (self.draws * len(self.sizes))

    def copies(self, rows: Int[Tensor, " k"]) -> Float[Tensor, "k *shape"]:
        """The perturbed inputs of these rows."""
        draws, place = torch.unique(rows // len(self.sizes), return_inverse=True)
        directions = torch.stack([self._direction(*divmod(int(draw), self.draws)) for draw in draws])[place]
        sizes = torch.tensor(self.sizes, dtype=self.x.dtype, device=self.x.device)[rows % len(self.sizes)]
        scale = self._spread * sizes.reshape(-1, *[1] * (self.x.ndim - 1))
        return self.x[self.samples(rows)] + scale * directions

    @cached_property
    def _spread(self) -> float:
        return spread(self.x if self.population is None else self.population)

    def _direction(self, sample: int, draw: int) -> Tensor:
        return self.perturbation.draw(self.x[sample], self.stream(f"{sample}/{draw}"))
