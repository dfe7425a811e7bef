"""What the outputs of a network are projected on when there are too many of them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def random_signs(outputs: int, count: int, generator: torch.Generator) -> Float[Tensor, "C m"]:
    """Independent fair signs: E[uuᵀ] = I, and of all such vectors those with the least variance for traces."""
    draw = torch.randint(2, (outputs, count), generator=generator, device=generator.device)
    return 2.0 * draw - 1


def leading_classes(logits: Float[Tensor, "n C"], count: int) -> Int[Tensor, " m"]:
    """The classes with the largest mean probability over the probe set, in their own order."""
    mean = torch.softmax(logits.double(), dim=1).mean(dim=0)
    return torch.topk(mean, min(count, len(mean))).indices.sort().values


def class_projection(classes: Int[Tensor, " m"], outputs: int) -> Float[Tensor, "C m"]:
    """The columns of the identity that leave these classes: derivatives of theirs alone, exactly."""
    return torch.nn.functional.one_hot(classes, outputs).mT.to(torch.get_default_dtype())
