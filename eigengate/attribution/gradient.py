"""The gradient that gradient-based methods are made of."""

from jaxtyping import Float
from torch import Tensor

from eigengate.attribution.method import BatchFunction
from eigengate.loading.autodiff import vjp


def gradient(f: BatchFunction, x: Float[Tensor, "k *shape"], target: Float[Tensor, "k C"]) -> Float[Tensor, "k *shape"]:
    """J_f(x_i)ᵀ t_i for every row i, in one backward pass because rows do not see each other."""
    pulled: Tensor = vjp(f, x)[1](target)
    return pulled
