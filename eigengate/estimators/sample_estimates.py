"""One estimated number per sample, and what their mean is worth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from scipy.stats import t
from torch import Tensor

from eigengate.contract import Interval
from eigengate.estimators.resampling import LEVEL


@final
@dataclass(frozen=True)
class SampleEstimates:
    """A number for each of m samples with both parts of its numerical error.

    Attributes:
        value: The estimates.
        low: What is left of them after truncation (Krylov spaces that end, residuals), at the least.
        high: The same at the most.
        left_out: The estimates without each of the s probe vectors in turn. Probes of different samples are
            independent.
    """

    value: Float[Tensor, " m"]
    low: Float[Tensor, " m"]
    high: Float[Tensor, " m"]
    left_out: Float[Tensor, "m s"]

    @classmethod
    def joined(cls, parts: Sequence["SampleEstimates"]) -> "SampleEstimates":
        """Those of several groups of samples, one after the other."""
        return cls(
            *(torch.cat([getattr(part, name) for part in parts]) for name in ("value", "low", "high", "left_out"))
        )

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "SampleEstimates":
        """A monotone function of them."""
        ends = torch.stack([function(self.low), function(self.high)])
        return SampleEstimates(function(self.value), ends.amin(0), ends.amax(0), function(self.left_out))

    def times(self, other: "SampleEstimates") -> "SampleEstimates":
        """Products of numbers that are not negative, estimated from the same probe vectors."""
        return SampleEstimates(
            self.value * other.value, self.low * other.low, self.high * other.high, self.left_out * other.left_out
        )

    def where(self, condition: Tensor) -> "SampleEstimates":
        """NaN for every other sample."""
        return self.mapped(
            lambda part: torch.where(condition if part.ndim == 1 else condition[:, None], part, torch.nan)
        )

    @property
    def variances(self) -> Float[Tensor, " m"]:
        """Jackknife variances over the probe vectors; zero where nothing was random."""
        s = self.left_out.shape[1]
        deviations = self.left_out - self.left_out.mean(dim=1, keepdim=True)
        return (s - 1) / s * deviations.square().sum(dim=1)

    def mean_interval(self) -> Interval | None:
        """95 % interval of the mean over the samples that have a value: truncation on top of t times standard error.

        The degrees of freedom are Satterthwaite's for a sum of independent variances.
        """
        defined = ~self.value.isnan()
        variances, count = self.variances[defined], int(defined.sum())
        low, high = (float(end[defined].mean()) for end in (self.low, self.high))
        half = 0.0
        if float(total := variances.sum()) > 0:
            degrees = float(total**2 / variances.square().sum()) * (self.left_out.shape[1] - 1)
            half = float(t.ppf((1 + LEVEL) / 2, degrees)) * float(total.sqrt()) / count
        ends = low - half, high + half
        return Interval(low=ends[0], high=ends[1], level=LEVEL) if all(map(_is_finite, ends)) else None


def _is_finite(number: float) -> bool:
    return number - number == 0
