"""Spectra of input and parameter Jacobians, a few samples at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from eigengate.estimators.sample_spectra import EstimatedSpectra, KrylovEffort, SampleDraws
from eigengate.operators.batches import activation_floats
from eigengate.operators.sample_grams import SampleGrams
from eigengate.sweep.matrix_free.input_grams import InputGrams
from eigengate.sweep.matrix_free.parameter_grams import ParameterGrams
from eigengate.sweep.progress import OnProgress
from eigengate.sweep.quiet import quiet
from eigengate.sweep.traced import Traced

_FORWARD_SHARE: Final = 2  # half of the memory budget for passes that are kept
_COPIES: Final = (
    5  # of every value of the forward pass: itself, its gradient, what both need, one pass back through all
)


def input_spectra(
    traced: Traced,
    effort: KrylovEffort,
    *,
    memory_budget_bytes: int,
    generator: torch.Generator,
    on_progress: OnProgress,
) -> EstimatedSpectra:
    """Of J_i J_iᵀ: ``effort.products`` backward passes and as many back through them, over all samples at once.

    Raises:
        RuntimeError: an operator's derivative has no derivative.
    """
    subject = traced.subject
    per_sample = _COPIES * activation_floats(subject) * subject.dtype.itemsize
    at_once = max(1, min(subject.n, memory_budget_bytes // _FORWARD_SHARE // max(per_sample, 1)))
    tiles = torch.split(torch.arange(subject.n, device=subject.x.device), at_once)
    return _spectra(traced, tiles, lambda rows: InputGrams.of(traced, rows), effort, generator, on_progress)


def parameter_spectra(
    traced: Traced,
    scales: Mapping[str, float],
    effort: KrylovEffort,
    *,
    generator: torch.Generator,
    on_progress: OnProgress,
) -> EstimatedSpectra:
    """Of Σ_l s_l G_il G_ilᵀ, sample by sample: G_i G_iᵀ if every parameter tensor l has s_l = 1.

    Raises:
        RuntimeError: an operator's derivative has no derivative.
    """
    tiles = torch.split(torch.arange(traced.subject.n, device=traced.subject.x.device), 1)
    return _spectra(
        traced, tiles, lambda rows: ParameterGrams.of(traced, int(rows), scales), effort, generator, on_progress
    )


def _spectra(
    traced: Traced,
    tiles: Sequence[Tensor],
    grams_of: Callable[[Tensor], SampleGrams],
    effort: KrylovEffort,
    generator: torch.Generator,
    on_progress: OnProgress,
) -> EstimatedSpectra:
    draws = SampleDraws.of(traced.subject.n, traced.outputs, effort, generator)
    parts = []
    for rows in tiles:
        # A tile's passes are dropped before the next one's are made.
        with quiet(), torch.enable_grad():
            parts.append(EstimatedSpectra.of(grams_of(rows), effort, draws.of_samples(rows)))
        on_progress("spectra", int(rows[-1]) + 1, traced.subject.n)
    return EstimatedSpectra.joined(parts)
