"""What is explained of a probe sample, and its explanation."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from eigengate.attribution.method import AttributionMethod, BatchFunction
from eigengate.operators.subject import Subject


@final
@dataclass(frozen=True, eq=False)
class Explanation:
    """Clean outputs, the cotangents that say what is explained, and one map per sample."""

    f: Float[Tensor, "n C"]
    target: Float[Tensor, "n C"]
    maps: Float[Tensor, "n *shape"]


def explain(
    subject: Subject, method: AttributionMethod, samples: Int[Tensor, " n"], *, rows_per_batch: int
) -> Explanation:
    """Explain probe samples: the output of the predicted class, or the sum of regression outputs."""
    f, targets, maps = [], [], []
    with torch.no_grad():
        for batch in torch.split(samples, rows_per_batch):
            function, x = function_of(subject, batch), subject.x[batch]
            f.append(function(x))
            targets.append(_cotangent(subject, f[-1]))
            maps.append(method.attribute(function, x, targets[-1]).detach())
    return Explanation(torch.cat(f), torch.cat(targets), torch.cat(maps))


def function_of(subject: Subject, samples: Tensor) -> BatchFunction:
    """x ↦ f(x) for rows that belong to these samples; parameters and other inputs held fixed."""
    function, params = subject.outputs_of(samples), subject.params
    return lambda x: function(params, x)


def _cotangent(subject: Subject, f: Float[Tensor, "k C"]) -> Float[Tensor, "k C"]:
    if subject.model.output.kind == "regression":
        return torch.ones_like(f)
    return F.one_hot(f.argmax(dim=1), f.shape[1]).to(f.dtype)
