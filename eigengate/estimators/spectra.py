"""Summaries of spectra (design section 1.2)."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.contract import Outcome


@final
@dataclass(frozen=True)
class Spectra:
    """The spectra of n matrices by their energies: σ² for a general matrix, λ for a positive semidefinite one.

    Every summary is a tensor [n], NaN where ``outcomes`` says why: an all-zero spectrum has norms 0 but no shape.

    Attributes:
        energies: Descending, not negative, float64; NaN for a matrix that is not finite.
        columns: d, how many input directions the matrices act on.
        tolerance: Energies not above it times the largest count as rounding, not as rank.
    """

    energies: Float[Tensor, "n r"]
    columns: int
    tolerance: float

    @classmethod
    def of_grams(
        cls,
        grams: Float[Tensor, "n k k"],
        *,
        columns: int,
        dtype: torch.dtype,
        products: torch.dtype = torch.float64,
    ) -> "Spectra":
        """From Gram matrices J Jᵀ (or the positive semidefinite matrices themselves), float64.

        ``dtype`` is that of the matrices the Grams were made of. Relative to σ_1, rounding their entries moves singular
        values by about eps(dtype) and forming the Gram in ``products`` by its eps^½; k times either is called zero. The
        factor is k, the smaller side, and not the larger one: independent rounding of k × d entries has spectral norm
        near eps ‖J‖_F (k^-½ + d^-½), which does not grow with d, while d·eps exceeds 1 for ten million columns.
        """
        k = grams.shape[-1]
        finite = torch.isfinite(grams).flatten(1).all(dim=1)
        safe = torch.where(finite[:, None, None], grams.double(), 0.0)
        energies = torch.linalg.eigvalsh(safe).flip(-1).clamp_min(0)[:, : min(k, columns)]
        tolerance = max((k * torch.finfo(dtype).eps) ** 2, k * torch.finfo(products).eps)
        return cls(torch.where(finite[:, None], energies, torch.nan), columns, tolerance)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Why the summaries of a matrix are or are not defined."""
        finite = torch.isfinite(self.energies).all(dim=1).tolist()
        filled = (self.total > 0).tolist()
        pairs = zip(finite, filled, strict=True)
        return tuple(("ok" if some else "not_applicable") if bounded else "non_finite" for bounded, some in pairs)

    @property
    def largest(self) -> Float[Tensor, " n"]:
        """σ_1² or λ_1; 0 for an empty spectrum."""
        return self.energies[:, 0] if self.energies.shape[1] else self.total

    @property
    def total(self) -> Float[Tensor, " n"]:
        """Σσ² or Σλ."""
        return self.energies.sum(dim=1)

    @property
    def stable_rank(self) -> Float[Tensor, " n"]:
        """Σσ²/σ_1², in [1, r]."""
        return self.total / self.largest

    @property
    def spectral_entropy(self) -> Float[Tensor, " n"]:
        """−Σ p ln p in nats, p = σ²/Σσ², in [0, ln r]."""
        return entropy(self.energies)

    @property
    def effective_rank(self) -> Float[Tensor, " n"]:
        """exp(spectral entropy), in [1, r]."""
        return self.spectral_entropy.exp()

    @property
    def amplitude_entropy(self) -> Float[Tensor, " n"]:
        """−Σ q ln q in nats, q = σ/Σσ (Roy & Vetterli 2007)."""
        return entropy(self.energies.sqrt())

    @property
    def energy_ratio(self) -> Float[Tensor, " n"]:
        """σ_1²/σ_r² or λ_1/λ_r over the numerical rank r, at least 1."""
        counted = self.energies > self.tolerance * self.largest.unsqueeze(1)
        smallest = torch.where(counted, self.energies, torch.inf).amin(dim=1) if counted.shape[1] else self.total
        return torch.where(self.total > 0, self.largest / smallest, torch.nan)


def entropy(masses: Float[Tensor, "n r"]) -> Float[Tensor, " n"]:
    """−Σ p ln p of masses normalised to one per row, 0 ln 0 = 0; NaN where all are zero."""
    p = masses / masses.sum(dim=1, keepdim=True)
    # Rounding can leave −0 or −1e-17 for a single mass.
    entropies: Tensor = torch.special.entr(p).sum(dim=1)
    return entropies.clamp_min(0) + 0.0


def singular_summaries(spectra: Spectra) -> dict[str, Float[Tensor, " n"]]:
    """Every summary of singular values by name, [n] each."""
    d = spectra.columns
    entropy_gain = (spectra.largest * spectra.effective_rank / d).sqrt()
    return {
        "operator_norm": spectra.largest.sqrt(),
        "frobenius_norm": spectra.total.sqrt(),
        "stable_rank": spectra.stable_rank,
        "spectral_entropy": spectra.spectral_entropy,
        "effective_rank": spectra.effective_rank,
        "amplitude_entropy": spectra.amplitude_entropy,
        "condition_number": spectra.energy_ratio.sqrt(),
        "typical_gain": (spectra.total / d).sqrt(),
        "entropy_gain": torch.where(spectra.largest == 0, 0.0, entropy_gain),
    }


def kernel_summaries(spectra: Spectra) -> dict[str, Float[Tensor, " n"]]:
    """Every summary of the eigenvalues of positive semidefinite matrices by name, [n] each.

    ``dominance`` = λ_max / mean λ, in [1, d]; ``label_noise_gain`` = (1/d) Σ (λ/(λ + λ̄))², λ̄ = tr/d: the share of label
    noise that kernel ridge regression at ridge λ̄ keeps, in [0, 1].
    """
    mean = spectra.total / spectra.columns
    kept = spectra.energies / (spectra.energies + mean.unsqueeze(1))
    return {
        "operator_norm": spectra.largest,
        "frobenius_norm": spectra.energies.square().sum(dim=1).sqrt(),
        "trace": spectra.total,
        "stable_rank": spectra.stable_rank,
        "spectral_entropy": spectra.spectral_entropy,
        "effective_rank": spectra.effective_rank,
        "condition_number": spectra.energy_ratio,
        "dominance": spectra.largest / mean,
        "label_noise_gain": kept.square().sum(dim=1) / spectra.columns,
    }
