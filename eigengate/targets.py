"""Labels and loss: what the probe's ``y`` means for the analysed output, and what stands in where it is absent."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from eigengate.contract import AuditConfig
from eigengate.errors import ConfigError, ProbeValueError, ShapeMismatchError
from eigengate.loading.functional_model import OutputKind
from eigengate.operators.loss import CrossEntropy, Loss, ProbabilityCrossEntropy, SquaredError

_SUM_TOLERANCE = 1e-3  # float16 exports round each of many probabilities


@final
@dataclass(frozen=True)
class Targets:
    """Targets as the loss takes them: class indices [n] or values [n, C]."""

    y: Tensor
    given: bool
    loss: Loss
    kind: OutputKind


def output_kind(f: Tensor, y: Tensor | None) -> OutputKind:
    """What the output's numbers look like: one column or real-valued targets of its shape mean regression."""
    if f.shape[1] == 1:
        return "regression"
    if y is not None and y.is_floating_point() and y.reshape(y.shape[0], -1).shape == f.shape and not _one_hot(y):
        return "regression"
    total = f.sum(dim=1)
    if bool((f >= 0).all()) and bool(((total - 1).abs() < _SUM_TOLERANCE).all()):
        return "probabilities"
    return "logits"


def targets(f: Tensor, y: Tensor | None, kind: OutputKind, config: AuditConfig) -> Targets:
    """Targets and loss for outputs f [n, C].

    Raises:
        ConfigError: cross-entropy of a regression output.
        ProbeValueError: labels out of range or not whole.
        ShapeMismatchError: targets of another shape than the output.
    """
    name = config.loss
    if name == "auto":
        name = "squared_error" if kind == "regression" else "cross_entropy"
    if name == "cross_entropy":
        if kind == "regression":
            raise ConfigError("loss=cross_entropy needs class scores, but the output is a regression", hint="loss=auto")
        loss: Loss = ProbabilityCrossEntropy() if kind == "probabilities" else CrossEntropy()
        return Targets(f.argmax(dim=1) if y is None else _labels(y, f), y is not None, loss, kind)
    return Targets(f.detach().clone() if y is None else _values(y, f, kind), y is not None, SquaredError(), kind)


def _labels(y: Tensor, f: Tensor) -> Tensor:
    n, classes = f.shape
    if y.numel() == n * classes and classes > 1:
        if not _one_hot(y):
            raise ProbeValueError(f"y has shape {list(y.shape)} but is not one-hot", hint="give class indices [n]")
        return y.reshape(n, classes).argmax(dim=1)
    if y.numel() != n:
        raise ShapeMismatchError(f"y has shape {list(y.shape)}, wanted [{n}]", hint="one class index per sample")
    flat = y.reshape(n)
    labels = flat.long()
    if not torch.equal(labels.to(torch.float64), flat.to(torch.float64)):
        raise ProbeValueError(f"y holds {flat.dtype} values that are no class indices", hint="give integers")
    outside = torch.nonzero((labels < 0) | (labels >= classes)).flatten()
    if outside.numel():
        worst = int(labels[outside[0]])
        raise ProbeValueError(
            f"label {worst} in sample {int(outside[0])} is out of range: the model has {classes} classes",
            hint=f"labels run from 0 to {classes - 1}",
        )
    return labels


def _values(y: Tensor, f: Tensor, kind: OutputKind) -> Tensor:
    if kind != "regression" and y.numel() == f.shape[0]:
        return F.one_hot(_labels(y, f), f.shape[1]).to(f.dtype)
    if y.numel() != f.numel():
        raise ShapeMismatchError(
            f"y has shape {list(y.shape)}, the output {list(f.shape)}", hint="one target per output"
        )
    return y.reshape(f.shape).to(f.dtype)


def _one_hot(y: Tensor) -> bool:
    rows = y.reshape(y.shape[0], -1)
    return bool(((rows == 0) | (rows == 1)).all() and (rows.sum(dim=1) == 1).all())
