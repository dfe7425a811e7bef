"""The trace of an operator whose diagonal blocks are quieter than the rest.

Interval: that of ``trace_moments`` per block; blocks have probe vectors of their own, so their variances add, and their
degrees of freedom combine by Welch and Satterthwaite.
"""

from collections.abc import Sequence
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.estimators._quadratic_forms import TraceMoments, trace_moments
from eigengate.estimators.estimate import Estimate, estimated_from
from eigengate.estimators.probe_vectors import rademacher
from eigengate.operators import LinearOperator


def block_trace(A: LinearOperator, *, sizes: Sequence[int], num_samples: int, generator: torch.Generator) -> Estimate:
    """tr A = Σ_l tr A_ll by Hutchinson's estimator on one diagonal block at a time.

    A probe vector that lives on block l sees A_ll alone, so that entries off the diagonal blocks add no variance. It is
    2 Σ_l Σ_{i≠j} (A_ll)_ij² per sample: nothing at all for the part of a Hessian that Gauss-Newton leaves out, if each
    block is a tensor that the network is piecewise linear in.

    Args:
        A: Self-adjoint operator [N, N].
        sizes: Of the blocks, in order, summing to N.
        num_samples: Rademacher vectors per block, at least 2.
        generator: Draws them.

    Raises:
        ValueError: the sizes do not sum to N.
    """
    if sum(sizes) != A.shape[0]:
        raise ValueError(f"blocks of sizes {list(sizes)} do not fill an operator of shape {A.shape}")
    signs = rademacher(A, num_samples, generator)
    starts = accumulate(sizes, initial=0)
    found = [_block(A, signs, slice(first, first + size)) for first, size in zip(starts, sizes, strict=False)]
    variance = sum(block.variance for block in found)
    uncertain = sum(block.variance**2 / block.degrees_of_freedom for block in found if block.variance > 0)
    return estimated_from(
        sum(block.value for block in found),
        variance**0.5,
        variance**2 / uncertain if uncertain > 0 else 0.0,
        num_samples * len(sizes),
    )


def _block(A: LinearOperator, signs: Float[Tensor, "N s"], block: slice) -> TraceMoments:
    """One column at a time, of which only the block is kept."""
    products = []
    for probe in signs.unbind(1):
        inside = torch.zeros_like(probe)
        inside[block] = probe[block]
        products.append((A @ inside)[block])
    return trace_moments(signs[block], torch.stack(products, dim=1))
