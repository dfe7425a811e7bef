"""Dense float64 matrices of a subject by plain reverse-mode autograd: slow, simple, independent of ``torch.func``.

``torch.func.hessian`` is no reference here: nesting its vmaps is wrong for layer normalisation (torch 2.13).
"""

import torch
from torch import Tensor
from torch.autograd.functional import hessian, jacobian

from eigengate.operators import ParameterSpace, Subject


def theta(subject: Subject) -> Tensor:
    return ParameterSpace.of(subject.params).flatten(subject.params)


def parameter_jacobian(subject: Subject) -> Tensor:
    """G [nC, P]."""
    space = ParameterSpace.of(subject.params)
    return jacobian(lambda v: subject.outputs(space.unflatten(v), subject.x).reshape(-1), theta(subject))


def input_jacobians(subject: Subject) -> Tensor:
    """J [n, C, d], each sample in a batch of its own."""
    rows = [
        jacobian(lambda x, i=i: subject.outputs_of(torch.tensor([i]))(subject.params, x[None])[0], subject.x[i])
        for i in range(subject.n)
    ]
    return torch.stack(rows).flatten(2)


def loss_hessian(subject: Subject) -> Tensor:
    """H [P, P]."""
    space = ParameterSpace.of(subject.params)
    return hessian(lambda v: subject.mean_loss(space.unflatten(v)), theta(subject))


def gauss_newton(subject: Subject) -> Tensor:
    """(1/n) Gᵀ L G [P, P], L by autograd of the loss."""
    f = subject.outputs(subject.params, subject.x)
    blocks = [
        hessian(lambda row, i=i: subject.loss.per_sample(row[None], subject.y[i : i + 1]).sum(), f[i])
        for i in range(subject.n)
    ]
    G = parameter_jacobian(subject)
    return G.mT @ torch.block_diag(*blocks) @ G / subject.n
