"""J_i J_iᵀ of a batch of samples through products."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.operators.sample_grams import SampleGrams
from eigengate.sweep.recording import Recording
from eigengate.sweep.traced import Traced


@final
@dataclass(frozen=True)
class InputGrams(SampleGrams):
    """J_i = ∂f(x_i)/∂x of some samples, from one forward pass that is kept.

    J_iᵀy is a backward pass. J_i v is one through that backward pass: J_iᵀu is linear in u, and its derivative's
    adjoint is J_i. Neither needs another forward pass or a forward-mode rule.

    Attributes:
        recording: The forward pass.
        u: Cotangents, a leaf [m, C].
        pulled: J_iᵀu_i as a function of u.
    """

    recording: Recording
    u: Tensor
    pulled: Tensor

    @classmethod
    def of(cls, traced: Traced, rows: Tensor) -> "InputGrams":
        recording = Recording.of(traced.subject, traced.graph, (), rows)
        u = torch.zeros_like(recording.f).requires_grad_()
        (pulled,) = torch.autograd.grad(recording.f, recording.x, u, create_graph=True)
        return cls(recording, u, pulled)

    @property
    def shape(self) -> tuple[int, int]:
        m, C = self.u.shape
        return m, C

    @property
    def columns(self) -> int:
        return self.recording.x[0].numel()

    @property
    def dtype(self) -> torch.dtype:
        return self.u.dtype

    def products(self, Y: Float[Tensor, "m C b"]) -> Float[Tensor, "m C b"]:
        return torch.stack([self._product(y).double() for y in Y.to(self.dtype).unbind(2)], dim=2)

    def _product(self, y: Float[Tensor, "m C"]) -> Float[Tensor, "m C"]:
        (v,) = torch.autograd.grad(self.recording.f, self.recording.x, y, retain_graph=True)
        (pushed,) = torch.autograd.grad(self.pulled, self.u, v, retain_graph=True)
        return pushed
