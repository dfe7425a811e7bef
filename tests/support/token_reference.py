"""Dense derivatives of eager networks of whole numbers."""

import copy

import torch
from torch import Tensor, nn

from support.token_networks import LanguageModel, TokenNetwork


class Reference:
    """Dense float64 derivatives of the eager network by its embedding's output, put in by a hook, and by its weights.

    The padding row counts as every other: the function depends on it, though training leaves it alone.
    """

    def __init__(self, subject: TokenNetwork, *, tied: bool = True) -> None:
        self._network = copy.deepcopy(subject.network).double()
        if not tied and isinstance(self._network, LanguageModel):
            self._network.lm_head.weight = nn.Parameter(self._network.wte.weight.detach().clone())
        self._embedding = self._network.get_submodule(subject.embedding)
        for module in self._network.modules():
            if isinstance(module, nn.Embedding):
                module.padding_idx = None
        self._inputs = tuple(subject.inputs.values())
        self._table = f"{subject.embedding}.weight"

    def by_embedding(self) -> Tensor:
        """[n, C, T, d]: every output of a sample depends on that sample's E alone."""
        caught: list[Tensor] = []
        handle = self._embedding.register_forward_hook(lambda module, given, rows: caught.append(rows.detach().clone()))
        self._network(*self._inputs)
        handle.remove()
        given = caught[0].requires_grad_()
        handle = self._embedding.register_forward_hook(lambda module, inputs, rows: given.clone())
        outputs = self._network(*self._inputs)
        handle.remove()
        return torch.stack(
            [torch.autograd.grad(column.sum(), given, retain_graph=True)[0] for column in outputs.T], dim=1
        )

    def by_parameters(self) -> dict[str, Tensor]:
        """[n, C, *shape] by parameter name."""
        params = dict(self._network.named_parameters())
        rows = [
            torch.autograd.grad(value, list(params.values()), retain_graph=True, allow_unused=True)
            for value in self._network(*self._inputs).flatten()
        ]
        n = self._inputs[0].shape[0]
        return {
            name: torch.stack([torch.zeros_like(p) if row[k] is None else row[k] for row in rows]).unflatten(0, (n, -1))
            for k, (name, p) in enumerate(params.items())
        }

    def by_table(self) -> Tensor:
        return self.by_parameters()[self._table]


def kernel(jacobians: dict[str, Tensor]) -> Tensor:
    """Θ = G Gᵀ: the same for every layout of the same parameters."""
    rows = torch.cat([jacobian.flatten(0, 1).flatten(1) for jacobian in jacobians.values()], dim=1)
    return rows @ rows.T
