"""Losses of classification."""

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Tensors, operator


@operator("NegativeLogLikelihoodLoss", since=12)
def negative_log_likelihood(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-weight[c] x[n, c, ...] for the class c = target[n, ...] of each sample and place, as it is, summed or averaged.

    x is [batch, classes, places...]. The mean is over the weights, which are one unless given; a target equal to
    ``ignore_index`` has weight zero and need not be a class.
    """
    ignored = None if ignore_index is None else target == ignore_index
    classes = (target if ignored is None else torch.where(ignored, 0, target)).to(torch.int64)
    losses = -torch.gather(x, 1, classes.unsqueeze(1)).squeeze(1)
    weights = _weights(classes, weight, ignored, x)
    weighted = losses if weights is None else losses * weights
    match reduction:
        case "none":
            return weighted
        case "sum":
            return torch.sum(weighted)
        case "mean":
            return torch.mean(losses) if weights is None else torch.sum(weighted) / torch.sum(weights)
    raise ValueError(f"there is no reduction '{reduction}'")


@operator("SoftmaxCrossEntropyLoss", since=12)
def cross_entropy(
    scores: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Tensors:
    """``NegativeLogLikelihoodLoss`` of the logarithm of softmax(scores) over axis 1, which is the second output."""
    logarithms = torch.log_softmax(scores, 1)
    loss = negative_log_likelihood(logarithms, labels, weights, ignore_index=ignore_index, reduction=reduction)
    return loss, logarithms


def _weights(classes: Tensor, weight: Tensor | None, ignored: Tensor | None, x: Tensor) -> Tensor | None:
    """The weight of every sample and place; None where all are one."""
    if weight is None:
        return None if ignored is None else (~ignored).to(x.dtype)
    chosen = torch.index_select(weight, 0, classes.reshape(-1)).reshape(classes.shape)
    return chosen if ignored is None else torch.where(ignored, 0, chosen)
