"""One network on one probe set: what every operator, sweep and attribution is built from."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.loading.functional_model import FunctionalModel, Params
from eigengate.operators.loss import Loss


@final
@dataclass(frozen=True)
class Subject:
    """A functional model with its probe samples, targets and loss, all on one device and in one dtype.

    ``inputs`` are all model inputs [n, ...]; ``position`` says which of them is the differentiable x. ``y`` holds class
    indices [n] for cross-entropy and targets [n, C] for squared error; ``labels_given`` is False where the model's own
    predictions stand in.
    """

    model: FunctionalModel
    inputs: tuple[Tensor, ...]
    y: Tensor
    labels_given: bool
    loss: Loss
    position: int = 0

    @property
    def x(self) -> Tensor:
        return self.inputs[self.position]

    @property
    def n(self) -> int:
        return int(self.x.shape[0])

    @property
    def dtype(self) -> torch.dtype:
        """The floating point type of the computation; inputs may be integers, and networks may have no parameters."""
        floating = [tensor.dtype for tensor in (*self.params.values(), *self.inputs) if tensor.is_floating_point()]
        return floating[0] if floating else torch.get_default_dtype()

    @property
    def params(self) -> dict[str, Tensor]:
        return self.model.params

    def outputs(self, params: Params, x: Tensor) -> Float[Tensor, "n C"]:
        """f_θ(x_i) for the whole probe set, with x in place of the differentiable input."""
        return self.model.apply(params, *self.inputs[: self.position], x, *self.inputs[self.position + 1 :])

    def outputs_of(self, rows: Tensor) -> Callable[[Params, Tensor], Tensor]:
        """The batched function (params, x [k, ...]) → f [k, C] for probe rows k, other inputs held fixed."""
        fixed = tuple(tensor[rows] for tensor in self.inputs)

        def function(params: Params, x: Tensor) -> Tensor:
            return self.model.apply(params, *fixed[: self.position], x, *fixed[self.position + 1 :])

        return function

    def sample_function(self) -> Callable[..., Tensor]:
        """The function (params, *inputs_i) → f [C] of one sample, for vmap over ``self.inputs``."""

        def function(params: Params, *inputs: Tensor) -> Tensor:
            return self.model.apply(params, *(tensor.unsqueeze(0) for tensor in inputs)).squeeze(0)

        return function

    def mean_loss(self, params: Params) -> Tensor:
        """(1/n) Σ ℓ(f(x_i), y_i), the scalar whose Hessian is H."""
        return self.loss.per_sample(self.outputs(params, self.x), self.y).mean()

    def generator(self, seed: int, stream: str) -> torch.Generator:
        """An independent random stream named ``stream``, so that adding a quantity changes no other number."""
        digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
        return torch.Generator(device=self.x.device).manual_seed(int.from_bytes(digest[:7], "big"))
