"""λ_max, trace and density of the Hessian: ours against curvlinops, hessian-eigenthings and PyHessian.

python -m benchmarks.hessian [IMAGES.npz]

IMAGES holds x_train [n, 32, 32, 3] uint8 and y_train [n]; without it images are drawn at random, one pattern a class.
The peers come with the ``bench`` extra. Each gets the cheapest setting that reaches the residual, found beforehand,
which its user would have to guess: ours stops by itself.
"""

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from curvlinops import HessianLinearOperator
from hessian_eigenthings import HessianOperator as EigenthingsHessian
from hessian_eigenthings import LambdaOperator
from hessian_eigenthings import lanczos as eigenthings_lanczos
from hessian_eigenthings.algorithms.lanczos import lanczos_tridiagonal
from hessian_eigenthings.loss_fns.standard import supervised_loss
from pyhessian import hessian as pyhessian
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn

from benchmarks.engine_networks import resnet18
from benchmarks.hessian_accuracy import compare_accuracy
from benchmarks.subjects import subject_of
from benchmarks.timing import medians, show
from eigengate.diagnostics._gauss_newton_gram import gauss_newton_gram, leading_direction
from eigengate.estimators import lanczos
from eigengate.operators import HessianOperator, Subject
from eigengate.sweep import sweep

RESIDUAL = 1e-3
SAMPLES = 32
Pair = tuple[float, Tensor]


def images(path: str | None) -> tuple[Tensor, Tensor]:
    """Standardised images [n, 3, 32, 32] and their classes."""
    if path is None:
        y = torch.arange(2000) % 10
        pattern = F.interpolate(torch.randn(10, 3, 4, 4), size=32, mode="bilinear")
        return pattern[y] + torch.randn(2000, 3, 32, 32), y
    arrays = np.load(path)
    x = torch.tensor(arrays["x_train"]).permute(0, 3, 1, 2).float()
    y = torch.tensor(arrays["y_train"]).long()
    return (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True), y


def trained(model: nn.Module, x: Tensor, y: Tensor, steps: int = 100) -> nn.Module:
    """By stochastic gradient descent, so that eigenvalues are those of a network in use."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    model.train()
    for _ in range(steps):
        rows = torch.randint(len(x), (64,))
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    model.zero_grad()
    return model.eval()


@dataclass(frozen=True)
class Sides:
    """The four, each from nothing to (λ_max, its eigenvector)."""

    model: nn.Module
    subject: Subject

    def ours(self, start: Tensor | None = None) -> tuple[Pair, int]:
        H = HessianOperator.of(self.subject)
        generator = torch.Generator().manual_seed(0)
        start = H.gradient if start is None else start
        pairs = lanczos(H, start=start, tolerance=RESIDUAL, max_products=100, max_basis=60, generator=generator)
        return (float(pairs.largest.values[0]), pairs.largest.vectors[:, 0]), pairs.num_products

    def gauss_newton_vector(self) -> Tensor:
        """What an audit has from its sweep when it comes to the Hessian."""
        swept = sweep(self.subject, memory_budget_bytes=2**31, parts=frozenset({"parameters"}))
        assert swept.kernel is not None
        assert swept.kernel.full is not None
        gram = gauss_newton_gram(self.subject, swept.logits, swept.kernel.full)
        direction = leading_direction(self.subject, swept.logits, gram)
        assert direction is not None
        return direction

    def curvlinops(self, ncv: int, tolerance: float) -> Pair:
        params = [p for p in self.model.parameters() if p.requires_grad]
        H = HessianLinearOperator(
            self.model, nn.CrossEntropyLoss(), params, [self._batch], check_deterministic=False
        ).to_scipy()
        values, vectors = largest_by_arpack(H, ncv, tolerance)
        return float(values[0]), torch.tensor(vectors[:, 0])

    def eigenthings(self, steps: int) -> Pair:
        H = EigenthingsHessian(self.model, [self._batch], supervised_loss(F.cross_entropy))
        found = eigenthings_lanczos(H, k=1, max_iter=steps, which="LA", seed=0)
        return float(found.eigenvalues[0]), found.eigenvectors[0]

    def pyhessian(self, steps: int) -> Pair:
        torch.manual_seed(0)
        self.model.zero_grad()
        H = pyhessian(self.model, nn.CrossEntropyLoss(), data=self._batch, cuda=False)
        values, vectors = H.eigenvalues(maxIter=steps, tol=0.0)
        return float(values[0]), torch.cat([v.detach().reshape(-1) for v in vectors[0]])

    @property
    def _batch(self) -> tuple[Tensor, Tensor]:
        return self.subject.x, self.subject.y


@dataclass(frozen=True)
class Cheapest:
    """The settings with the fewest products that reach the residual, found by products of ours."""

    H: HessianOperator

    def residual(self, v: Tensor) -> float:
        """‖Hv − θv‖ / θ, θ = vᵀHv."""
        v = v / v.norm()
        Hv = self.H @ v
        theta = v @ Hv
        return float((Hv - theta * v).norm() / theta)

    def arpack_setting(self) -> tuple[int, float]:
        """ncv and tol of ``eigsh``."""
        counts = {}
        for setting in itertools.product((4, 6, 8, 10, 20), (RESIDUAL, RESIDUAL / 2)):
            count = 0

            def product(v: np.ndarray) -> np.ndarray:
                nonlocal count
                count += 1
                return (self.H @ torch.tensor(v.reshape(-1))).numpy()

            _, vectors = largest_by_arpack(LinearOperator(self.H.shape, matvec=product, dtype=np.float32), *setting)
            if self.residual(torch.tensor(vectors[:, 0])) <= RESIDUAL:
                counts[setting] = count
        return min(counts, key=lambda setting: counts[setting])

    def lanczos_steps(self) -> int:
        """``max_iter`` of eigenthings, from the leading submatrices of one run with its start."""
        N, most = self.H.shape[0], 20
        v0 = torch.randn(N, generator=torch.Generator().manual_seed(0))
        run = lanczos_tridiagonal(LambdaOperator(lambda v: self.H @ v, N), v0, most)
        for m in range(1, most):
            T = torch.diag(run.alphas[:m]) + torch.diag(run.betas[: m - 1], 1) + torch.diag(run.betas[: m - 1], -1)
            theta, S = torch.linalg.eigh(T.double())
            if float(run.betas[m - 1] * S[-1, -1].abs()) <= RESIDUAL * float(theta[-1]):
                return m
        return most

    def power_steps(self) -> int:
        """``maxIter`` of PyHessian."""
        torch.manual_seed(0)
        v = torch.randn(self.H.shape[0])
        for steps in range(200):
            if self.residual(v) <= RESIDUAL:
                return steps
            v = self.H @ (v / v.norm())
        return 200


def largest_by_arpack(H: LinearOperator, ncv: int, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    v0 = np.random.default_rng(0).standard_normal(H.shape[0]).astype(np.float32)
    return eigsh(H, k=1, which="LA", tol=tolerance, ncv=ncv, v0=v0)


def compare_lambda_max(model: nn.Module, x: Tensor, y: Tensor) -> None:
    traced = subject_of(model, x)
    sides = Sides(model, Subject(traced.model, (x,), y, labels_given=True, loss=traced.loss))
    cheapest = Cheapest(HessianOperator.of(sides.subject))
    (ncv, tolerance), steps, power = cheapest.arpack_setting(), cheapest.lanczos_steps(), cheapest.power_steps()
    direction = sides.gauss_newton_vector()
    mine = {"ours": sides.ours()[1], "ours, behind a sweep": sides.ours(direction)[1]}
    runs: dict[str, Callable[[], Pair]] = {
        "ours": lambda: sides.ours()[0],
        "ours, behind a sweep": lambda: sides.ours(direction)[0],
        f"curvlinops, eigsh ncv={ncv}": lambda: sides.curvlinops(ncv, tolerance),
        f"eigenthings, {steps} steps": lambda: sides.eigenthings(steps),
        f"pyhessian, {power} steps": lambda: sides.pyhessian(power),
    }
    print(", ".join(f"{name}: {products} products" for name, products in mine.items()))
    for name, run in runs.items():
        pair = run()
        print(f"  {name:<28} λ_max {pair[0]:10.4f}   ‖Hv − θv‖/θ {cheapest.residual(pair[1]):.1e}")
    found = medians(runs, repeats=5)
    best = min((name for name in found if name not in mine), key=lambda name: found[name])
    P = sum(p.numel() for p in model.parameters())
    show(f"λ_max to a residual of {RESIDUAL}, {P} parameters", found, floor=best)


def main(path: str | None) -> None:
    torch.manual_seed(0)
    x, y = images(path)
    compare_lambda_max(trained(resnet18(16), x, y), x[:SAMPLES], y[:SAMPLES])
    compare_accuracy()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
