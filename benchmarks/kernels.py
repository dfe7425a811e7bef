"""Ways of others to the full tangent kernel Θ [nC, nC], samples outermost."""

from collections.abc import Callable

import torch
from nngeometry.gram import GramMatrix
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


def by_jacrev(model: nn.Module, x: Tensor) -> Tensor:
    """From all gradients written out, as the tutorial of torch.func contracts Jacobians."""
    params = {name: p.detach() for name, p in model.named_parameters()}
    constants = dict(model.named_buffers())

    def f(p: dict[str, Tensor], z: Tensor) -> Tensor:
        return torch.func.functional_call(model, {**p, **constants}, (z.unsqueeze(0),)).squeeze(0)

    rows = torch.func.vmap(torch.func.jacrev(f), in_dims=(None, 0))(params, x)
    kernel = torch.zeros(())
    for row in rows.values():
        flat = row.flatten(0, 1).flatten(1)
        kernel = kernel + flat @ flat.T
    return kernel


def by_vector_products(model: nn.Module, x: Tensor) -> Tensor:
    """Column by column for every pair of samples, as the same tutorial has it."""
    params = {name: p.detach() for name, p in model.named_parameters()}
    constants = dict(model.named_buffers())

    def one(z: Tensor) -> Callable[[dict[str, Tensor]], Tensor]:
        return lambda p: torch.func.functional_call(model, {**p, **constants}, (z.unsqueeze(0),)).squeeze(0)

    def pair(a: Tensor, b: Tensor) -> Tensor:
        f, pull = torch.func.vjp(one(a), params)

        def column(u: Tensor) -> Tensor:
            return torch.func.jvp(one(b), (params,), pull(u))[1]

        return torch.vmap(column)(torch.eye(f.shape[0])).mT

    return torch.cat([torch.cat([pair(a, b) for b in x]) for a in x], dim=1)


def by_nngeometry(model: nn.Module, x: Tensor) -> Tensor:
    """By hooks on every layer, a backward pass for each output of each sample."""
    loader = DataLoader(TensorDataset(x, torch.zeros(len(x), dtype=torch.long)), batch_size=len(x))
    kernel = GramMatrix(model, loader, function=lambda x, _: model(x)).to_torch()
    return kernel.permute(1, 0, 3, 2).flatten(0, 1).flatten(1)
