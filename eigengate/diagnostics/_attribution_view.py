"""Attribution robustness as a page draws it: curves with bands, and the maps that moved most."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from eigengate.attribution import AttributionMethod, Neighbourhood, RobustnessCurve, explain, nearest
from eigengate.attribution.explanation import function_of
from eigengate.attribution.metrics.cosine import cosine
from eigengate.contract import AttributionCurve, AttributionSample
from eigengate.estimators.resampling import bootstrap_mean_interval
from eigengate.operators.subject import Subject

REFERENCE_SIZE: Final = 0.1
MOST_SAMPLES: Final = 6
MOST_FEATURES: Final = 4096


def drawn_curve(curve: RobustnessCurve, generator: torch.Generator) -> AttributionCurve:
    """Means over samples and draws; the cosine's band is a 95 % bootstrap over samples, all of [-1, 1] for one."""
    means = {name: tuple(curve.mean(name).tolist()) for name in curve.scores}
    bands = [bootstrap_mean_interval(samples, generator=generator) for samples in curve.scores["cosine"].mean(dim=1).T]
    return AttributionCurve(
        method=curve.method,
        noise_sizes=curve.sizes,
        cosine=means["cosine"],
        cosine_low=tuple(-1.0 if band is None else max(band.low, -1.0) for band in bands),
        cosine_high=tuple(1.0 if band is None else min(band.high, 1.0) for band in bands),
        spearman=means["spearman"],
        top_k_overlap=means["top_k_overlap"],
        relative_l2=means["relative_l2"],
        flip_rate=means.get("flip_rate", ()),
    )


def worst_samples(
    subject: Subject,
    methods: Sequence[AttributionMethod],
    curves: Sequence[RobustnessCurve],
    neighbourhood: Neighbourhood,
) -> tuple[AttributionSample, ...]:
    """The samples with the least robust explanations, each at the noise size nearest to 0.1, its worst method and draw.

    Where the input is the output of an embedding, a token is one feature. None for inputs that are neither a sequence
    nor image-like, or have more than 4096 features.
    """
    if not curves or not _drawable(_by_feature(subject, subject.x[:1]).shape[1:]):
        return ()
    ranking = torch.stack([curve.area("cosine") for curve in curves]).mean(dim=(0, 2)).argsort(stable=True)
    size = nearest(neighbourhood.sizes, REFERENCE_SIZE)
    by_name = {method.name: method for method in methods}
    found = []
    for sample in ranking[:MOST_SAMPLES].tolist():
        cosines = torch.stack([curve.scores["cosine"][sample, :, size] for curve in curves])
        worst, draw = divmod(int(cosines.argmin()), neighbourhood.draws)
        found.append(_drawn_sample(subject, by_name[curves[worst].method], neighbourhood, (sample, draw, size)))
    return tuple(found)


def _drawn_sample(
    subject: Subject, method: AttributionMethod, neighbourhood: Neighbourhood, place: tuple[int, int, int]
) -> AttributionSample:
    sample = torch.tensor([place[0]], device=subject.x.device)
    noisy = neighbourhood.copies(neighbourhood.row(*place))
    clean = explain(subject, method, sample, rows_per_batch=1)
    noisy_map = method.attribute(function_of(subject, sample), noisy, clean.target)
    return AttributionSample(
        index=place[0],
        method=method.name,
        noise_size=neighbourhood.sizes[place[2]],
        cosine=float(cosine(clean.maps.flatten(1).double(), noisy_map.flatten(1).double())),
        shape=tuple(_by_feature(subject, noisy).shape[1:]),
        clean_input=_floats(_by_feature(subject, subject.x[sample])),
        noisy_input=_floats(_by_feature(subject, noisy)),
        clean_map=_floats(_by_feature(subject, clean.maps)),
        noisy_map=_floats(_by_feature(subject, noisy_map)),
    )


def _by_feature(subject: Subject, values: Tensor) -> Tensor:
    """Values [n, *x] as they are drawn: of vectors that an embedding gives tokens, their Euclidean norms."""
    is_embedded = subject.model.opening is not None and values.ndim > 2
    return values.norm(dim=-1) if is_embedded else values


def _drawable(shape: torch.Size) -> bool:
    image_like = len(shape) in (1, 2) or (len(shape) == 3 and min(shape[0], shape[2]) <= 4)
    return image_like and shape.numel() <= MOST_FEATURES


def _floats(tensor: Tensor) -> tuple[float, ...]:
    return tuple(tensor.detach().flatten().tolist())
