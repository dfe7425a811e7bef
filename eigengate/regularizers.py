"""Differentiable spectral penalties of the input Jacobian, for training.

Each takes any function f that maps a batch x [n, ...] to outputs [n, C], row by row, such as an ``nn.Module``, and
returns a scalar that carries gradients to whatever f depends on: ``loss + weight * penalty(f, x, ...)``. J_i is
∂f(x_i)/∂x ∈ R^{C×d}. Rows must not see each other: batch normalisation has to be in evaluation mode.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.errors import ConfigError, ShapeMismatchError
from eigengate.loading.autodiff import jvp, vjp

__all__ = ["jacobian_frobenius", "jacobian_spectral_entropy", "jacobian_spectral_norm"]

BatchFunction = Callable[[Tensor], Tensor]


def jacobian_frobenius(
    f: BatchFunction, x: Float[Tensor, "n *shape"], *, num_projections: int = 1, generator: torch.Generator
) -> Float[Tensor, ""]:
    r"""(1/n) Σ_i ‖J_i‖_F², estimated by random projections of the output.

    (1/n) Σ_i (C/m) Σ_{j≤m} ‖J_iᵀ v_ij‖² with v_i1 … v_im orthonormal and uniformly distributed in R^C, hence
    unbiased, and exact for m ≥ C. Orthonormal rather than independent vectors never see a direction twice.
    Cost: one forward and min(m, C) backward passes. Source: Hoffman, Roberts & Yaida 2019, equation 10 (who penalise
    half of it).

    Raises:
        ConfigError: no projection.
    """
    if num_projections < 1:
        raise ConfigError(f"num_projections={num_projections} is no number of projections", hint="use 1 or more")
    value, pull = vjp(f, x)
    n, outputs = _sizes(value)
    directions = _orthonormal(value, min(num_projections, outputs), generator)
    squares: Tensor = torch.vmap(pull)(directions).square()
    return squares.sum() * (outputs / (len(directions) * n))


def jacobian_spectral_norm(
    f: BatchFunction, x: Float[Tensor, "n *shape"], *, num_iterations: int = 5, generator: torch.Generator
) -> Float[Tensor, ""]:
    r"""(1/n) Σ_i ‖J_i‖₂², from below, by power iteration.

    ‖J_iᵀ u_i‖² at the unit vector u_i ∈ R^C that ``num_iterations`` steps u ← J Jᵀ u / ‖·‖ lead to from a random one.
    Never above the true value; the error shrinks like (σ₂/σ₁)^{4·num_iterations}. u is held fixed in the derivative,
    which is the exact one at the true singular vector, where ∂σ₁/∂u = 0. Squared, so that a zero Jacobian has a
    derivative and the value compares with ``jacobian_frobenius``. Cost: num_iterations + 1 backward and
    num_iterations forward-mode passes. Source: Yoshida & Miyato 2017, section 3.2, with J_i in place of a weight.

    Raises:
        ConfigError: a negative number of iterations.
    """
    if num_iterations < 0:
        raise ConfigError(f"num_iterations={num_iterations} is negative", hint="use 0 or more")
    value, pull = vjp(f, x)
    n, _ = _sizes(value)
    with torch.no_grad():
        u = _orthonormal(value, 1, generator)[0]
        for _ in range(num_iterations):
            u = _unit(jvp(f, x, pull(u))[1])
    pulled: Tensor = pull(u)
    return pulled.square().sum() / n


def jacobian_spectral_entropy(f: BatchFunction, x: Float[Tensor, "n *shape"]) -> Float[Tensor, ""]:
    r"""(1/n) Σ_i H(J_i) in nats, H = −Σ_k p_k ln p_k with energy weights p_k = σ_k²/Σσ² ∈ [0, ln min(C, d)].

    From the eigenvalues of the exact C×C Gram matrix J_i J_iᵀ. Not a penalty by itself: at fixed ‖J‖_F a higher entropy
    means a smaller worst case, at fixed ‖J‖₂ a lower one a smaller typical response; the caller picks the sign. A zero
    Jacobian has entropy 0 here, with no gradient. Cost: one forward and C backward passes.
    """
    value, pull = vjp(f, x)
    n, outputs = _sizes(value)
    basis = torch.eye(outputs, dtype=value.dtype, device=value.device).unsqueeze(1).expand(-1, n, -1)
    rows: Tensor = torch.vmap(pull)(basis).reshape(outputs, n, -1)
    energies: Tensor = torch.linalg.eigvalsh(torch.einsum("and,bnd->nab", rows, rows))
    total = energies.sum(dim=1, keepdim=True)
    p = energies / total.masked_fill(total <= 0, 1.0)
    # The floor keeps ln's derivative finite where the rank is not full; it moves H by less than C·eps·ln(1/eps).
    return -(p * p.clamp_min(torch.finfo(p.dtype).eps).log()).sum() / n


def _sizes(value: Tensor) -> tuple[int, int]:
    """n and C of an output [n, C].

    Raises:
        ShapeMismatchError: the function gives another shape.
    """
    if value.ndim != 2:
        raise ShapeMismatchError(f"f gave shape {tuple(value.shape)}, wanted [n, C]", hint="flatten the output")
    return value.shape[0], value.shape[1]


def _orthonormal(like: Float[Tensor, "n C"], count: int, generator: torch.Generator) -> Float[Tensor, "m n C"]:
    """For every row, ``count`` orthonormal vectors, uniformly distributed: Q of a Gaussian matrix."""
    n, outputs = like.shape
    gaussian = torch.randn(n, outputs, count, generator=generator, dtype=like.dtype, device=like.device)
    basis: Tensor = torch.linalg.qr(gaussian).Q
    return basis.permute(2, 0, 1)


def _unit(u: Float[Tensor, "n C"]) -> Float[Tensor, "n C"]:
    return u / u.square().sum(dim=1, keepdim=True).sqrt().clamp_min(torch.finfo(u.dtype).tiny)
