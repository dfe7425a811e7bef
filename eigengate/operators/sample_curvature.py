"""The curvature of every sample's loss along one direction."""

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.loading.autodiff import jvp
from eigengate.operators.differentiation import MISSING_RULE
from eigengate.operators.hessian import HessianOperator
from eigengate.refused_allocation import let_refused_allocations_through


def sample_curvatures(hessian: HessianOperator, direction: Float[Tensor, " P"]) -> Float[Tensor, " n"] | None:
    """uᵀH_iu, H_i the Hessian of ℓ(f(x_i), y_i), by forward mode twice; None where an operator has no rule for it.

    Their mean is uᵀHu. For a unit eigenvector u of H they are, less λ, the influences of the samples on λ.
    """
    subject, space = hessian.subject, hessian.space
    theta = space.flatten(subject.params)
    u = direction.to(theta.dtype)

    def along(rows: Tensor) -> Tensor:
        outputs, x, y = subject.outputs_of(rows), subject.x[rows], subject.y[rows]

        def losses(v: Tensor) -> Tensor:
            return subject.loss.per_sample(outputs(space.unflatten(v), x), y)

        return jvp(lambda v: jvp(losses, v, u)[1], theta, u)[1]

    try:
        return torch.cat([along(rows) for rows in hessian.batches]).detach().double()
    except MISSING_RULE as error:
        let_refused_allocations_through(error)
        return None
