"""How well explanations of the network survive noise."""

from typing import final

from eigengate.contract.base import Contract, Items


@final
class AttributionCurve(Contract):
    """One method: each sequence runs over ``noise_sizes``; means over samples and draws.

    ``flip_rate`` is empty for regression, where there is no class to flip.
    """

    method: str
    noise_sizes: Items[float]
    cosine: Items[float]
    cosine_low: Items[float]
    cosine_high: Items[float]
    spearman: Items[float]
    top_k_overlap: Items[float]
    relative_l2: Items[float]
    flip_rate: Items[float]


@final
class AttributionSample(Contract):
    """Maps of one sample for looking at: clean and perturbed input and attribution, at one noise size.

    Where the differentiable input is the output of an embedding, each token is one number: the norm of its vector.
    """

    index: int
    method: str
    noise_size: float
    cosine: float
    shape: Items[int]
    clean_input: Items[float]
    noisy_input: Items[float]
    clean_map: Items[float]
    noisy_map: Items[float]


@final
class AttributionReport(Contract):
    """Curves of every method, and a few samples to look at, worst first."""

    curves: Items[AttributionCurve] = ()
    samples: Items[AttributionSample] = ()
