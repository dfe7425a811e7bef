"""G_i G_iᵀ of one sample through products."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.operators.sample_grams import SampleGrams
from eigengate.sweep.traced import Traced


@final
@dataclass(frozen=True)
class ParameterGrams(SampleGrams):
    """G_i = ∂f(x_i)/∂θ of a single sample, its columns scaled tensor by tensor.

    One sample alone: a product goes through vectors of length P, which for many samples would not fit. Products are
    made as in ``InputGrams``.

    Attributes:
        f: The outputs [C].
        leaves: The parameters that reach them.
        scales: What each tensor's part of G_i G_iᵀ is multiplied with.
        u: Cotangents, a leaf [C].
        pulled: G_iᵀu as a function of u, by tensor.
        dimension: P.
    """

    f: Tensor
    leaves: tuple[Tensor, ...]
    scales: tuple[float, ...]
    u: Tensor
    pulled: tuple[Tensor, ...]
    dimension: int

    @classmethod
    def of(cls, traced: Traced, sample: int, scales: Mapping[str, float]) -> "ParameterGrams":
        subject = traced.subject
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in subject.params.items()}
        f = traced.graph.module(*leaves.values(), *(tensor[sample].detach() for tensor in subject.inputs))
        f = f.reshape(-1)
        u = torch.zeros_like(f).requires_grad_()
        pulled = torch.autograd.grad(f, tuple(leaves.values()), u, create_graph=True, allow_unused=True)
        used = {name: part for name, part in zip(leaves, pulled, strict=True) if part is not None}
        return cls(
            f,
            tuple(leaves[name] for name in used),
            tuple(scales[name] for name in used),
            u,
            tuple(used.values()),
            sum(tensor.numel() for tensor in subject.params.values()),
        )

    @property
    def shape(self) -> tuple[int, int]:
        return 1, len(self.u)

    @property
    def columns(self) -> int:
        return self.dimension

    @property
    def dtype(self) -> torch.dtype:
        return self.u.dtype

    def products(self, Y: Float[Tensor, "m C b"]) -> Float[Tensor, "m C b"]:
        columns = [self._product(y).double() for y in Y[0].to(self.dtype).unbind(1)]
        return torch.stack(columns, dim=1).unsqueeze(0)

    def _product(self, y: Float[Tensor, " C"]) -> Float[Tensor, " C"]:
        gradients = torch.autograd.grad(self.f, self.leaves, y, retain_graph=True)
        scaled = [scale * part for scale, part in zip(self.scales, gradients, strict=True)]
        (pushed,) = torch.autograd.grad(self.pulled, self.u, scaled, retain_graph=True)
        return pushed
