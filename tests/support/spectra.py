"""Symmetric matrices of prescribed spectrum."""

import torch
from torch import Tensor

from eigengate.operators import DenseOperator


def orthogonal(n: int, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(n, n, dtype=torch.float64, generator=generator)).Q


def symmetric(eigenvalues: Tensor, *, seed: int = 0) -> DenseOperator:
    """Q diag(λ) Qᵀ with a random orthogonal Q."""
    Q = orthogonal(len(eigenvalues), seed=seed)
    A = (Q * eigenvalues.double()) @ Q.mT
    return DenseOperator((A + A.mT) / 2, self_adjoint=True, psd=bool((eigenvalues >= 0).all()))


def decaying(n: int, rate: float = 0.7) -> Tensor:
    """λ_i = rate^i."""
    return rate ** torch.arange(n, dtype=torch.float64)
