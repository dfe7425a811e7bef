"""Products of large matrices of single precision, by the library that is quicker at them."""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

# Smaller ones are mostly overhead, whoever makes them.
_WORTH_IT: Final = 2**22


def transposed_product(A: Float[Tensor, "a p"], B: Float[Tensor, "b p"]) -> Float[Tensor, "a b"]:
    """A Bᵀ.

    On a processor PyTorch multiplies with MKL, which on other makers' than Intel's leaves the widest registers unused
    and takes up to twice as long as oneDNN, which PyTorch has too, for convolutions. The operator is the one that its
    compiler calls for linear layers; where it is missing MKL does.
    """
    if A.dtype != torch.float32 or A.device.type != "cpu" or A.shape[0] * B.numel() < _WORTH_IT or not _ONEDNN:
        return A @ B.mT
    product: Tensor = torch.ops.mkldnn._linear_pointwise(A, B, None, "none", [], "")
    return product


def _works() -> bool:
    """Whether the operator is there and takes what it is given here."""
    A = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    try:
        return torch.equal(torch.ops.mkldnn._linear_pointwise(A, A, None, "none", [], ""), A @ A.mT)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False


_ONEDNN: Final = _works()
