"""How well a method's explanations survive noise."""

from collections.abc import Mapping

import torch
from torch import Tensor

from eigengate.attribution import metrics
from eigengate.attribution.curve import RobustnessCurve
from eigengate.attribution.explanation import Explanation, explain, function_of
from eigengate.attribution.method import AttributionMethod
from eigengate.attribution.metrics import Metric, Pairs
from eigengate.attribution.neighbourhood import Neighbourhood
from eigengate.operators.subject import Subject
from eigengate.sweep.progress import OnProgress, silent


def robustness(
    subject: Subject,
    method: AttributionMethod,
    neighbourhood: Neighbourhood,
    *,
    rows_per_batch: int,
    on_progress: OnProgress = silent,
) -> RobustnessCurve:
    """Explain every perturbed copy of every probe sample and compare it with the explanation of the clean sample.

    The explained output stays that of the clean prediction, whatever the copy is taken for. Where a map is not
    finite, neither is any score. Cost: n·D·S maps; memory: ``rows_per_batch`` maps at a time.
    """
    clean = explain(subject, method, torch.arange(subject.n, device=subject.x.device), rows_per_batch=rows_per_batch)
    shape = neighbourhood.shape
    applied = _applicable(subject)
    scores = {name: torch.zeros(shape, dtype=torch.float64) for name in applied}
    total = shape[0] * shape[1] * shape[2]
    with torch.no_grad():
        for rows in torch.split(torch.arange(total, device=subject.x.device), rows_per_batch):
            pairs = _pairs(subject, method, neighbourhood, clean, rows)
            for name, metric in applied.items():
                scores[name].view(-1)[rows.cpu()] = metric.compare(pairs).masked_fill(~_finite(pairs), torch.nan).cpu()
            on_progress(f"attribution {method.name}", int(rows[-1]) + 1, total)
    return RobustnessCurve(method.name, neighbourhood.sizes, scores, (clean.maps.flatten(1) == 0).all(dim=1).cpu())


def _applicable(subject: Subject) -> Mapping[str, Metric]:
    classes = subject.model.output.kind != "regression"
    return {name: cls() for name, cls in metrics.load_all().items() if classes or not cls.needs_classes}


def _pairs(
    subject: Subject, method: AttributionMethod, neighbourhood: Neighbourhood, clean: Explanation, rows: Tensor
) -> Pairs:
    samples, copies = neighbourhood.samples(rows), neighbourhood.copies(rows)
    function = function_of(subject, samples)
    maps = method.attribute(function, copies, clean.target[samples])
    return Pairs(
        clean_x=_flat(subject.x[samples]),
        noisy_x=_flat(copies),
        clean_map=_flat(clean.maps[samples]),
        noisy_map=_flat(maps),
        clean_f=_flat(clean.f[samples]),
        noisy_f=_flat(function(copies)),
    )


def _finite(pairs: Pairs) -> Tensor:
    return pairs.clean_map.isfinite().all(dim=1) & pairs.noisy_map.isfinite().all(dim=1)


def _flat(tensor: Tensor) -> Tensor:
    return tensor.detach().flatten(1).double()
