"""The trace of an operator whose diagonal blocks are quieter than the rest."""

from collections.abc import Sequence

import torch

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
    samples = []
    for probe in rademacher(A, num_samples, generator).unbind(1):
        total, first = 0.0, 0
        for size in sizes:
            inside = torch.zeros_like(probe)
            inside[first : first + size] = probe[first : first + size]
            total += float((inside.double() * (A @ inside).double()).sum())
            first += size
        samples.append(total)
    values = torch.tensor(samples, dtype=torch.float64)
    stderr = float(values.std() / num_samples**0.5)
    return estimated_from(float(values.mean()), stderr, num_samples - 1, num_samples * len(sizes))
