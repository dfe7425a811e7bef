"""Dense float64 references computed from an eager module, without any of our own code."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class DenseReference:
    """Every spectrum of design section 1.1 by torch.func in float64."""

    jacobians: Tensor  # [n, C, d]
    theta: Tensor  # [nC, nC]
    kernel: Tensor  # [n, n]
    hessian_max: float
    hessian_min: float


def dense_reference(module: nn.Module, x: Tensor, y: Tensor) -> DenseReference:
    """References on samples x with cross-entropy loss."""
    module = copy.deepcopy(module).double().eval()
    x = x.double()
    params = {name: p.detach() for name, p in module.named_parameters()}

    def call(p: dict[str, Tensor], z: Tensor) -> Tensor:
        return torch.func.functional_call(module, p, (z.unsqueeze(0),)).squeeze(0)

    jacobians = torch.func.vmap(torch.func.jacrev(call, argnums=1), in_dims=(None, 0))(params, x)
    rows = torch.func.vmap(torch.func.jacrev(call), in_dims=(None, 0))(params, x)
    n, classes = jacobians.shape[:2]
    G = torch.cat([row.reshape(n * classes, -1) for row in rows.values()], dim=1)
    theta = G @ G.T
    kernel = torch.einsum("icjc->ij", theta.reshape(n, classes, n, classes))
    low, high = _hessian_ends(module, params, x, y)
    return DenseReference(jacobians.flatten(2), theta, kernel, high, low)


def _hessian_ends(module: nn.Module, params: dict[str, Tensor], x: Tensor, y: Tensor) -> tuple[float, float]:
    """Both ends of the loss Hessian's spectrum by ARPACK to machine precision, with double-backward products."""
    import numpy as np
    from scipy.sparse.linalg import LinearOperator, eigsh

    sizes = [p.numel() for p in params.values()]
    leaves = [p.clone().requires_grad_() for p in params.values()]

    def product(v: np.ndarray) -> np.ndarray:
        loss = F.cross_entropy(torch.func.functional_call(module, dict(zip(params, leaves, strict=True)), (x,)), y)
        gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, leaves, create_graph=True)])
        Hv = torch.autograd.grad(gradient @ torch.from_numpy(v.ravel().copy()), leaves)
        return torch.cat([h.reshape(-1) for h in Hv]).numpy()

    operator = LinearOperator((sum(sizes),) * 2, matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(sum(sizes))
    values = eigsh(operator, k=2, which="BE", tol=1e-10, v0=start, return_eigenvectors=False)
    return float(values.min()), float(values.max())
