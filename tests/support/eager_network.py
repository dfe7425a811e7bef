"""A network as PyTorch runs it, in double precision, differentiated by plain reverse mode alone."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Of the gradient: rounding errs by 1e-16/step, curvature by step² times a third derivative; both stay below 1e-8.
_STEP: Final = 1e-6


@final
@dataclass(frozen=True)
class EagerNetwork:
    """The reference for every file of a network: no tracing, no ``torch.func``, none of our own code.

    Args:
        module: The network in evaluation mode; of several outputs the first is meant.
        inputs: Three samples; derivatives are taken by the first input.
        y: Their classes.
    """

    module: nn.Module
    inputs: tuple[Tensor, ...]
    y: Tensor

    @classmethod
    def of(cls, module: nn.Module, inputs: tuple[Tensor, ...]) -> Self:
        doubled = tuple(tensor.double() if tensor.is_floating_point() else tensor for tensor in inputs)
        return cls(copy.deepcopy(module).double(), doubled, torch.arange(len(inputs[0])) % 2)

    @property
    def parameters(self) -> dict[str, Tensor]:
        return dict(self.module.named_parameters())

    def outputs(self, x: Tensor) -> Tensor:
        """f [n, C]."""
        return _first(self.module(x, *self.inputs[1:]))

    @cached_property
    def jacobians(self) -> Tensor:
        """J [n, C, d]: no sample has to do with another, so that the sum over samples has the derivatives of each."""
        x = self.inputs[0].clone().requires_grad_()
        sums = self.outputs(x).sum(0)
        return torch.stack([torch.autograd.grad(f, x, retain_graph=True)[0].flatten(1) for f in sums], 1)

    @cached_property
    def theta(self) -> Tensor:
        """Θ = G Gᵀ [nC, nC]."""
        leaves = list(self.parameters.values())
        f = self.outputs(self.inputs[0]).reshape(-1)
        rows = [torch.autograd.grad(value, leaves, retain_graph=True, materialize_grads=True) for value in f]
        G = torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])
        return G @ G.T

    @property
    def kernel(self) -> Tensor:
        """K [n, n], the traces of the C×C blocks of Θ."""
        n = len(self.y)
        return torch.einsum("icjc->ij", self.theta.reshape(n, -1, n, len(self.theta) // n))

    @cached_property
    def directions(self) -> dict[str, Tensor]:
        """Two random signs for every parameter, [2, ...] by name."""
        generator = torch.Generator().manual_seed(0)
        return {
            name: torch.randint(0, 2, (2, *p.shape), generator=generator).double() * 2 - 1
            for name, p in self.parameters.items()
        }

    @cached_property
    def hessian_products(self) -> Mapping[str, Tensor]:
        """H v of the mean cross-entropy for both directions v, as they are stored.

        By central differences of the gradient: PyTorch's own second derivative of weight normalisation is wrong
        (2.13), and those of fused activations and attention do not exist.
        """
        products = [
            [(ahead - behind) / (2 * _STEP) for ahead, behind in zip(*self._gradients_beside(k), strict=True)]
            for k in (0, 1)
        ]
        return {name: torch.stack(pair) for name, *pair in zip(self.parameters, *products, strict=True)}

    def _gradients_beside(self, k: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The gradient of the loss at both sides of the parameters, along direction k."""
        sides = [
            {name: p.detach() + step * self.directions[name][k] for name, p in self.parameters.items()}
            for step in (_STEP, -_STEP)
        ]
        ahead, behind = (self._gradient(side) for side in sides)
        return ahead, behind

    def _gradient(self, parameters: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        leaves = {name: value.requires_grad_() for name, value in parameters.items()}
        outputs = torch.func.functional_call(self.module, leaves, self.inputs)
        loss = F.cross_entropy(_first(outputs), self.y)
        return torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)


def _first(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    return (outputs[0] if isinstance(outputs, tuple) else outputs).flatten(1)
