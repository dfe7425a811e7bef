"""Functionals of a kernel matrix as functionals of the weights of its samples.

Interval: the infinitesimal jackknife's (``resampling``). Resamples with duplicates would lower the kernel's rank.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Functional = Callable[[Tensor], Tensor]


def reweighted(kernel: Float[Tensor, "m m"], weights: Float[Tensor, " n"]) -> Float[Tensor, "m m"]:
    """n W^½ K W^½, W the weights repeated over each sample's m/n rows: the kernel itself at equal weights 1/n."""
    n = len(weights)
    root = (n * weights).sqrt().repeat_interleave(len(kernel) // n)
    return torch.mul(root.unsqueeze(1) * kernel, root)


def kernel_functionals(kernel: Float[Tensor, "m m"]) -> dict[str, Functional]:
    """The summaries of a kernel matrix that are smooth in the weights, by name; n times a sample's weight counts it.

    Rank-like summaries (entropy, effective rank, condition number, label noise gain) are not here: they depend on how
    many samples there are, so that their value at n says too little of other n for an interval to be honest.
    """

    def largest(weights: Tensor) -> Tensor:
        return torch.amax(torch.linalg.eigvalsh(reweighted(kernel, weights)))

    def trace(weights: Tensor) -> Tensor:
        return reweighted(kernel, weights).trace()

    return {
        "operator_norm": largest,
        "lambda_max": largest,
        "frobenius_norm": lambda weights: reweighted(kernel, weights).square().sum().sqrt(),
        "trace": trace,
        "stable_rank": lambda weights: trace(weights) / largest(weights),
        "dominance": lambda weights: len(weights) * largest(weights) / trace(weights),
    }


def centred_alignment(
    kernel: Float[Tensor, "n n"], targets: Float[Tensor, "n c"], weights: Float[Tensor, " n"]
) -> Tensor:
    """⟨K_c, (YYᵀ)_c⟩ / (‖K_c‖ ‖(YYᵀ)_c‖), both centred under the weights (Cortes, Mohri & Rostamizadeh 2012)."""

    def centred(matrix: Tensor) -> Tensor:
        rows = matrix - (weights @ matrix).unsqueeze(0)
        return rows - (rows @ weights).unsqueeze(1)

    def inner(A: Tensor, B: Tensor) -> Tensor:
        return weights @ (A * B) @ weights

    K, Y = centred(kernel), centred(targets @ targets.mT)
    return inner(K, Y) / (inner(K, K) * inner(Y, Y)).sqrt()
