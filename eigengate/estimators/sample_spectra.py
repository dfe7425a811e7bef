"""Summaries of the spectra of many large matrices from products."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.contract import Outcome
from eigengate.estimators.sample_estimates import SampleEstimates
from eigengate.estimators.sample_krylov import SampleKrylov
from eigengate.operators.sample_grams import SampleGrams


@final
@dataclass(frozen=True)
class KrylovEffort:
    """How many products with A_i are spent.

    Attributes:
        block: Random directions that a Krylov space is started from to find the leading part.
        tolerance: Its residual, relative to λ_1, that ends the search.
        steps: Steps of that search at most.
        probes: Random vectors for what the leading part leaves.
        depth: Steps of Krylov spaces from them.
    """

    block: int = 4
    tolerance: float = 1e-3
    steps: int = 5
    probes: int = 8
    depth: int = 3

    @property
    def products(self) -> int:
        """Columns multiplied at most, each by M_iᵀ and by M_i."""
        return self.block * self.steps + self.probes * self.depth


@final
@dataclass(frozen=True)
class SampleDraws:
    """The random vectors of every sample: the same whichever samples are worked on together."""

    start: Float[Tensor, "n C block"]
    probes: Float[Tensor, "n C probes"]

    @classmethod
    def of(cls, n: int, C: int, effort: KrylovEffort, generator: torch.Generator) -> "SampleDraws":
        shape = n, C, effort.block + effort.probes
        draw = torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float64)
        return cls(draw[..., : effort.block], draw[..., effort.block :])

    def of_samples(self, rows: Tensor) -> "SampleDraws":
        return SampleDraws(self.start[rows], self.probes[rows])


@final
@dataclass(frozen=True)
class EstimatedSpectra:
    """What products tell of the spectra of A_i = M_i M_iᵀ, σ² its eigenvalues.

    Attributes:
        largest: λ_1: the Ritz value, from which the residual reaches up.
        total: tr A_i = ‖M_i‖_F².
        entropy: −Σ p ln p in nats, p = λ/tr A_i.
        leading: The largest Ritz values, descending.
        columns: d of M_i ∈ R^{C×d}.
        outcomes: ``not_converged`` where the residual of λ_1 is above the tolerance.
        num_products: Columns multiplied.
    """

    largest: SampleEstimates
    total: SampleEstimates
    entropy: SampleEstimates
    leading: Float[Tensor, "m k"]
    columns: int
    outcomes: tuple[Outcome, ...]
    num_products: int

    @classmethod
    def of(cls, grams: SampleGrams, effort: KrylovEffort, draws: SampleDraws) -> "EstimatedSpectra":
        """Find the leading part, then estimate what it leaves from fresh probes (Meyer et al. 2021 for the trace).

        tr f(A) = tr f(T) + E[wᵀf(A)w − wᵀZf(T)Zᵀw], T = ZᵀAZ: the leading part costs no variance, converged or not.
        What w has beyond Z is brought to the length that it has on average, which takes the variance from flat tails
        and leaves the mean (Epperly, Tropp & Webber 2024, section 2.3).
        """
        basis = SampleKrylov.empty(grams, draws.start.device).spanning(draws.start)
        for _ in range(effort.steps - 1):
            theta, residual = basis.largest()
            if basis.is_complete or bool((residual <= effort.tolerance * theta).all()):
                break
            basis = basis.grown()
        head = basis.size
        basis = basis.spanning(draws.probes)
        for _ in range(effort.depth - 1):
            basis = basis.grown()
        return _Reading(basis, basis.size if basis.is_complete else head, draws.probes).spectra(effort.tolerance)

    @classmethod
    def joined(cls, parts: Sequence["EstimatedSpectra"]) -> "EstimatedSpectra":
        """Those of several groups of samples, one after the other."""
        width = min(part.leading.shape[1] for part in parts)
        return cls(
            SampleEstimates.joined([part.largest for part in parts]),
            SampleEstimates.joined([part.total for part in parts]),
            SampleEstimates.joined([part.entropy for part in parts]),
            torch.cat([part.leading[:, :width] for part in parts]),
            parts[0].columns,
            tuple(outcome for part in parts for outcome in part.outcomes),
            max(part.num_products for part in parts),
        )

    def summaries(self) -> dict[str, SampleEstimates]:
        """Every summary of singular values that products can tell, by name."""
        d, norm = self.columns, self.largest.mapped(torch.sqrt)
        rank = self.entropy.mapped(torch.exp)
        return {
            "operator_norm": norm,
            "frobenius_norm": self.total.mapped(torch.sqrt),
            "stable_rank": self.total.times(self.largest.mapped(torch.reciprocal)),
            "spectral_entropy": self.entropy,
            "effective_rank": rank,
            "typical_gain": self.total.mapped(lambda total: (total / d).sqrt()),
            "entropy_gain": norm.times(rank.mapped(lambda rank: (rank / d).sqrt())),
        }


@final
@dataclass(frozen=True)
class _Reading:
    """The small matrices that a finished Krylov space leaves, ``head`` columns of it drawn before the probes."""

    basis: SampleKrylov
    head: int
    probes: Float[Tensor, "m C s"]

    def spectra(self, tolerance: float) -> EstimatedSpectra:
        theta, residual = self.basis.largest()
        filled = theta > 0
        energies = self._energies()
        scale = torch.where(filled, energies.mean(dim=1), 1.0)
        largest = _certain(theta, theta + residual, self.probes.shape[2])
        total = _over_probes(energies)
        entropy = self._entropy(energies / scale.unsqueeze(1), *self._logarithms(scale))
        finite = self.basis.finite
        leading = torch.linalg.eigvalsh(self.basis.compressed).flip(-1).clamp_min(0)
        return EstimatedSpectra(
            largest.where(finite),
            total.where(finite),
            entropy.where(finite & filled),
            torch.where(finite[:, None], leading, torch.nan),
            self.basis.grams.columns,
            tuple(map(_outcome, finite.tolist(), filled.tolist(), (residual <= tolerance * theta).tolist())),
            self.basis.size,
        )

    def _energies(self) -> Float[Tensor, "m s"]:
        """One unbiased estimate of tr A per probe."""
        T, tail = self.basis.compressed, self._coordinates[:, self.head :]
        known = T.diagonal(dim1=1, dim2=2)[:, : self.head].sum(dim=1, keepdim=True)
        return known + (tail * (T[:, self.head :, self.head :] @ tail)).sum(dim=1)

    def _logarithms(self, scale: Tensor) -> tuple[Float[Tensor, "m s"], Float[Tensor, "m s"]]:
        """One unbiased estimate of tr A ln A per probe, from below and from above; A over scale."""
        T, c = self.basis.compressed / scale[:, None, None], self._coordinates
        values, vectors = torch.linalg.eigh(T[:, : self.head, : self.head])
        f = torch.special.xlogy(values.clamp_min(0), values.clamp_min(0))
        known = f.sum(dim=1, keepdim=True)
        if self.head == self.basis.size:
            exactly = known.expand(-1, c.shape[2])
            return exactly, exactly
        drawn = (f.unsqueeze(-1) * (vectors.mT @ c[:, : self.head]).square()).sum(dim=1)
        below, above = self._brackets(T, c, scale)
        return known + below - drawn, known + above - drawn

    @property
    def _coordinates(self) -> Float[Tensor, "m k s"]:
        """The probes in the basis, resized beyond its head."""
        c = self.basis.Z.mT @ self.probes
        head, tail = c[:, : self.head], c[:, self.head :]
        lengths = torch.linalg.vector_norm(tail, dim=1, keepdim=True).clamp_min(1e-30)
        return torch.cat([head, tail * (self.basis.Z.shape[1] - self.head) ** 0.5 / lengths], dim=1)

    def _brackets(self, T: Tensor, c: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """wᵀ(A ln A)w from below and above, w = Zc.

        x ln x = ∫ x/(1+t) − 1 + t/(x+t) dt, and Galerkin's approximation of a resolvent is never too large: with trial
        functions Z that bounds it from below. Written as (Mᵀw)ᵀ ln(MᵀM) (Mᵀw) with trial functions MᵀZ it is bounded
        from above. Along a plain Krylov space these are the rules of Gauss and of Gauss and Radau with a node at zero.
        """
        values, vectors = torch.linalg.eigh(T)
        values = values.clamp_min(0)
        a = vectors.mT @ c
        below = (torch.special.xlogy(values, values).unsqueeze(-1) * a.square()).sum(dim=1)
        floor = torch.finfo(self.basis.grams.dtype).eps * T.shape[1] * values.amax(dim=1, keepdim=True)
        kept = values > floor
        root = torch.where(kept, values, 1.0).sqrt()
        whitened = vectors * (kept / root).unsqueeze(1)
        image = self.basis.AZ / scale[:, None, None] @ whitened
        nodes, modes = torch.linalg.eigh(image.mT @ image)
        b = modes.mT @ ((kept * root).unsqueeze(-1) * a)
        above = torch.special.xlogy(b.square(), nodes.clamp_min(1e-30).unsqueeze(-1)).sum(dim=1)
        return torch.minimum(below, above), torch.maximum(below, above)

    def _entropy(self, energies: Tensor, below: Tensor, above: Tensor) -> SampleEstimates:
        """ln tr A − tr(A ln A)/tr A."""
        limit = float(torch.log(torch.tensor(float(min(self.probes.shape[1], self.basis.grams.columns)))))

        def of(logarithms: Tensor) -> SampleEstimates:
            total, logs = _over_probes(energies), _over_probes(logarithms)

            def entropy(total: Tensor, logs: Tensor) -> Tensor:
                return (total.log() - logs / total).clamp(0.0, limit)

            value = entropy(total.value, logs.value)
            return SampleEstimates(value, value, value, entropy(total.left_out, logs.left_out))

        centre = of((below + above) / 2)
        return SampleEstimates(centre.value, of(above).value, of(below).value, centre.left_out)


def _over_probes(estimates: Float[Tensor, "m s"]) -> SampleEstimates:
    """Their mean."""
    s, value = estimates.shape[1], estimates.mean(dim=1)
    return SampleEstimates(value, value, value, (value.unsqueeze(1) * s - estimates) / (s - 1))


def _certain(value: Tensor, high: Tensor, probes: int) -> SampleEstimates:
    """Numbers that no probe has a part in."""
    return SampleEstimates(value, value, high, value.unsqueeze(1).expand(-1, probes))


def _outcome(finite: bool, filled: bool, converged: bool) -> Outcome:
    if not finite:
        return "non_finite"
    if not filled:
        return "not_applicable"
    return "ok" if converged else "not_converged"
