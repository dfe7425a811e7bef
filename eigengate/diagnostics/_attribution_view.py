"""Attribution robustness as a page draws it: curves with bands, and the maps that moved most."""

from typing import Final

import torch

from eigengate.attribution import RobustnessCurve
from eigengate.contract import AttributionCurve
from eigengate.estimators.resampling import bootstrap_mean_interval

REFERENCE_SIZE: Final = 0.1
MOST_SAMPLES: Final = 6
MOST_FEATURES: Final = 4096


def drawn_curve(curve: RobustnessCurve, generator: torch.Generator) -> AttributionCurve:
    """Means over samples and draws; the band of the cosine is a 95 % bootstrap over samples, as wide as [-1, 1] for one."""
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
