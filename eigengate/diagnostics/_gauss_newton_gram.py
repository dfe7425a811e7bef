"""The Gauss-Newton spectrum through the tangent kernel."""

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.loading.autodiff import vjp
from eigengate.operators import ParameterSpace, Subject


def output_hessian_root(subject: Subject, logits: Float[Tensor, "n C"]) -> Float[Tensor, "n C C"]:
    """L_i^½ for every sample, float64; NaN if one is not finite."""
    L = subject.loss.output_hessian(logits.double(), _double(subject.y))
    if not bool(torch.isfinite(L).all()):
        return torch.full_like(L, torch.nan)
    values, vectors = torch.linalg.eigh(L)
    return torch.matmul(vectors * values.clamp_min(0).sqrt().unsqueeze(1), vectors.mT)


def gauss_newton_gram(
    subject: Subject, logits: Float[Tensor, "n C"], full: Float[Tensor, "nC nC"]
) -> Float[Tensor, "nC nC"]:
    """(1/n) L^½ Θ L^½."""
    n, C = logits.shape
    root = output_hessian_root(subject, logits)
    half = torch.einsum("icd,idk->ick", root, full.reshape(n, C, n * C)).reshape(n * C, n, C)
    return torch.einsum("kic,icd->kid", half, root).reshape(n * C, n * C) / n


def gauss_newton_trace(subject: Subject, logits: Float[Tensor, "n C"], blocks: Float[Tensor, "n C C"]) -> float:
    """tr (1/n) Gᵀ L G = (1/n) Σ ⟨L_i, G_i G_iᵀ⟩, from the diagonal blocks of Θ alone."""
    L = subject.loss.output_hessian(logits.double(), _double(subject.y))
    return float((L * blocks).sum() / len(logits))


def leading_direction(
    subject: Subject, logits: Float[Tensor, "n C"], gram: Float[Tensor, "nC nC"]
) -> Float[Tensor, " P"] | None:
    """The leading eigenvector Gᵀ L^½ u of the Gauss-Newton matrix, u that of its Gram: one backward pass.

    None if there is none.
    """
    if not bool(torch.isfinite(gram).all()) or not bool(gram.any()):
        return None
    u = torch.linalg.eigh(gram).eigenvectors[:, -1]
    n, C = logits.shape
    cotangent = torch.einsum("icd,id->ic", output_hessian_root(subject, logits), u.reshape(n, C))
    _, pull = vjp(lambda params: subject.outputs(params, subject.x), subject.params)
    direction = ParameterSpace.of(subject.params).flatten(pull(cotangent.to(logits.dtype)))
    return torch.nn.functional.normalize(direction, dim=0)


def _double(y: Tensor) -> Tensor:
    return y.double() if y.is_floating_point() else y
