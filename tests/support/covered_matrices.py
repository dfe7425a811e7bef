"""Matrices on which intervals are tried: small enough for a dense eigendecomposition, known by name."""

import itertools
from functools import cache

import torch
from torch import Tensor, nn

from eigengate.operators import DenseOperator, GaussNewtonOperator, HessianOperator
from eigengate.operators.batches import batches
from tests.support.spectra import orthogonal, symmetric
from tests.support.subjects import subject_of

Sizes = list[int]


def network_spectrum(n: int = 150) -> Tensor:
    """Ten outliers over a bulk that decays as a power on both sides, a quarter of it negative."""
    ranks = torch.arange(1, n - 9, dtype=torch.float64)
    bulk = ranks**-1.0
    bulk[3::4] *= -0.5
    return torch.cat([10 * 0.7 ** torch.arange(10, dtype=torch.float64), bulk])


def trained_perceptron(
    widths: tuple[int, ...], activation: type[nn.Module], seed: int
) -> tuple[nn.Module, Tensor, Tensor]:
    """Trained for a while on labels that it can learn."""
    torch.manual_seed(seed)
    x = torch.randn(64, widths[0], dtype=torch.float64)
    y = (x @ torch.randn(widths[0], widths[-1], dtype=torch.float64)).argmax(1)
    pairs = itertools.pairwise(widths)
    layers = [layer for a, b in pairs for layer in (nn.Linear(a, b), activation())][:-1]
    net = nn.Sequential(*layers).double()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net, x, y


@cache
def curvatures(
    widths: tuple[int, ...] = (6, 16, 3), activation: type[nn.Module] = nn.Tanh, seed: int = 0
) -> tuple[DenseOperator, DenseOperator, Sizes]:
    """The Hessian and the Gauss-Newton matrix of such a network, and the sizes of its tensors."""
    net, x, y = trained_perceptron(widths, activation, seed)
    subject = subject_of(net, x, y)
    rows = batches(subject, memory_budget_bytes=2**30)
    H, G = HessianOperator.of(subject, rows).materialize(), GaussNewtonOperator.of(subject, rows).materialize()
    return dense(H), dense(G), [p.numel() for p in net.parameters()]


@cache
def operators() -> dict[str, tuple[DenseOperator, Sizes]]:
    """Dense symmetric operators by name, with the sizes of their diagonal blocks."""
    low_rank = torch.zeros(150, dtype=torch.float64)
    low_rank[:12] = torch.linspace(-1, 3, 12, dtype=torch.float64)
    spectra = {
        "network-like": network_spectrum(),
        "flat": torch.linspace(-1, 2, 150),
        "rank 12": low_rank,
        "one huge": torch.cat([torch.tensor([1000.0]), torch.linspace(0.1, 1, 149)]),
        "geometric": 0.8 ** torch.arange(150, dtype=torch.float64),
    }
    H, G, sizes = curvatures()
    small, _, small_sizes = curvatures((6, 12, 8, 3), nn.ReLU, 21)
    larger, _, larger_sizes = curvatures((8, 20, 16, 5), nn.ReLU, 24)
    smooth, _, _ = curvatures((8, 20, 16, 5), nn.GELU, 25)
    return {name: (symmetric(spectrum), [50, 70, 30]) for name, spectrum in spectra.items()} | {
        "Hessian": (H, sizes),
        "Gauss-Newton": (G, sizes),
        "H - GN": (dense(H.matrix - G.matrix), sizes),
        "ReLU Hessian": (small, small_sizes),
        "larger ReLU Hessian": (larger, larger_sizes),
        "larger GELU Hessian": (smooth, larger_sizes),
    }


@cache
def jacobians() -> dict[str, DenseOperator]:
    """Dense rectangular operators by name."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(120, 100), nn.Tanh(), nn.Linear(100, 80)).double()
    x = torch.randn(120, dtype=torch.float64)
    decaying = 0.9 ** torch.arange(80, dtype=torch.float64)
    return {
        "input Jacobian": DenseOperator(torch.func.jacrev(net)(x).detach()),
        "decaying": DenseOperator((orthogonal(80, seed=1) * decaying) @ orthogonal(120, seed=2)[:80]),
    }


def dense(matrix: Tensor) -> DenseOperator:
    return DenseOperator((matrix + matrix.mT).detach() / 2, self_adjoint=True)
