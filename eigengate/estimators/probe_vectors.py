"""Random vectors that estimators multiply with."""

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.operators import LinearOperator


def gaussian(A: LinearOperator, count: int, generator: torch.Generator) -> Float[Tensor, "columns count"]:
    """Standard normal columns."""
    # Drawn in float64 on the generator's device: the same digits whatever the operator's precision.
    draw = torch.randn(A.shape[1], count, generator=generator, device=generator.device, dtype=torch.float64)
    return draw.to(device=A.device, dtype=A.dtype)


def rademacher(A: LinearOperator, count: int, generator: torch.Generator) -> Float[Tensor, "columns count"]:
    """Columns of independent fair signs: of all distributions the one with the least variance for traces."""
    draw = torch.randint(2, (A.shape[1], count), generator=generator, device=generator.device)
    return (2 * draw - 1).to(device=A.device, dtype=A.dtype)
