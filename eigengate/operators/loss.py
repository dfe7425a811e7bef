"""Losses as the Hessian needs them: value, output Hessian and natural scale."""

import abc
import math
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

_LINEAR_FROM: Final = 80.0  # ln(1 + e^u) = u to every digit, while e^u still is a float32


class Loss(abc.ABC):
    """A loss ℓ(f, y) of one output row f ∈ R^C and its target."""

    name: str

    @abc.abstractmethod
    def per_sample(self, f: Float[Tensor, "n C"], y: Tensor) -> Float[Tensor, " n"]:
        """ℓ(f_i, y_i) for every sample."""

    @abc.abstractmethod
    def output_hessian(self, f: Float[Tensor, "n C"], y: Tensor) -> Float[Tensor, "n C C"]:
        """∂²ℓ/∂f² for every sample: the blocks of L in the Gauss-Newton matrix (1/n) Gᵀ L G."""

    @abc.abstractmethod
    def scale_per_sample(self, y: Tensor, classes: int) -> Float[Tensor, " n"]:
        """What an uninformed guess loses on each sample, float64."""

    def scale(self, y: Tensor, classes: int) -> float:
        """ℓ_0, the mean of it; makes curvature dimensionless in the stability index."""
        return float(self.scale_per_sample(y, classes).mean())


@final
class CrossEntropy(Loss):
    """ℓ = −ln softmax(f)_y, Hessian diag(p) − p pᵀ, ℓ_0 = ln C.

    Both are written without 1 − p: where a network is sure, p rounds to 1 long before 1 − p, which is all the curvature
    there is, rounds to 0.
    """

    name = "cross_entropy"

    def per_sample(self, f: Float[Tensor, "n C"], y: Tensor) -> Float[Tensor, " n"]:
        # ln(1 + e^u), u the log-sum-exp of the other logits minus f_y: its derivatives are accurate for u ≪ 0.
        own = torch.arange(f.shape[1], device=f.device) == y.unsqueeze(1)
        others = f.masked_fill(own, torch.finfo(f.dtype).min / 2).logsumexp(dim=1)
        return F.softplus(others - f.gather(1, y.unsqueeze(1)).squeeze(1), threshold=_LINEAR_FROM)

    def output_hessian(self, f: Float[Tensor, "n C"], y: Tensor) -> Float[Tensor, "n C C"]:
        p = torch.softmax(f, dim=-1)
        products = p.unsqueeze(-1) * p.unsqueeze(-2)
        products = products - torch.diag_embed(products.diagonal(dim1=-2, dim2=-1))
        return torch.diag_embed(products.sum(dim=-1)) - products

    def scale_per_sample(self, y: Tensor, classes: int) -> Float[Tensor, " n"]:
        return torch.full((len(y),), math.log(classes), dtype=torch.float64, device=y.device)


@final
class ProbabilityCrossEntropy(Loss):
    """ℓ = −ln f_y for outputs that are probabilities already; Hessian e_y e_yᵀ / f_y², ℓ_0 = ln C."""

    name = "cross_entropy"

    def per_sample(self, f: Float[Tensor, "n C"], y: Tensor) -> Float[Tensor, " n"]:
        tiny = torch.finfo(f.dtype).tiny
        return -torch.log(f.gather(1, y.unsqueeze(1)).squeeze(1).clamp_min(tiny))

    def output_hessian(self, f: Float[Tensor, "n C"], y: Tensor) -> Float[Tensor, "n C C"]:
        hot = F.one_hot(y, f.shape[1]).to(f.dtype)
        tiny = torch.finfo(f.dtype).tiny ** 0.5
        return torch.diag_embed(hot / f.clamp_min(tiny) ** 2)

    def scale_per_sample(self, y: Tensor, classes: int) -> Float[Tensor, " n"]:
        return torch.full((len(y),), math.log(classes), dtype=torch.float64, device=y.device)


@final
class SquaredError(Loss):
    """ℓ = ‖f − y‖², Hessian 2I, ℓ_0 = mean ‖y − ȳ‖², the target variance."""

    name = "squared_error"

    def per_sample(self, f: Float[Tensor, "n C"], y: Tensor) -> Float[Tensor, " n"]:
        return (f - y).square().sum(dim=1)

    def output_hessian(self, f: Float[Tensor, "n C"], y: Tensor) -> Float[Tensor, "n C C"]:
        return 2 * torch.eye(f.shape[1], dtype=f.dtype, device=f.device).expand(f.shape[0], -1, -1)

    def scale_per_sample(self, y: Tensor, classes: int) -> Float[Tensor, " n"]:
        values = y.double()
        return (values - values.mean(dim=0)).square().sum(dim=1)
