"""Derivative checks of a lowered network on a few samples, each a single error to compare with a tolerance."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, final

import torch
from torch import Tensor

from eigengate.errors import ModelExecutionError
from eigengate.loading.autodiff import jvp, vjp
from eigengate.loading.functional_model import FunctionalModel
from eigengate.refused_allocation import let_refused_allocations_through

_STEPS: Final = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)  # relative to the input's root mean square
_OFFSET: Final = 0.1  # the same
_TINY: Final = 1e-6  # the same, in float64
_CONVINCING: Final = 1e-2  # a kink or two; a cut path is tens of percent
_PLACES: Final = 3
_CALLS: Final = 4
_COTANGENTS: Final = 16


@final
@dataclass(frozen=True)
class DerivativeExam:
    """The derivative checks on a few samples."""

    model: FunctionalModel
    inputs: tuple[Tensor, ...]
    position: int
    generator: torch.Generator

    def difference_error(self) -> float:
        """Largest over samples of ‖U(q − Jv)‖ / ‖UJv‖, random U, q = (f(x+hv) − f(x−hv))/2h through the runtime.

        A runtime cannot be given the output of an embedding; then q is of the lowered network itself in float64.

        Each sample is given the best of several places and steps, as long as none is convincing. Places lie off the
        data by a tenth of its size: images with flat regions sit exactly on the kinks of max-pooling and ReLU, where no
        derivative exists. Kinks inside the step are bad luck that another place may be free of, and deep networks have
        some everywhere; there the comparison goes by way of the lowered network's own differences (``_explained``). A
        wrong derivative is wrong everywhere.
        """
        best = torch.full((len(self.inputs[self.position]),), torch.inf, dtype=torch.float64)
        for _ in range(_PLACES):
            for errors in self._errors_at_a_random_place():
                best = torch.minimum(best, errors.nan_to_num(nan=torch.inf))
                if float(best.max()) <= _CONVINCING:
                    return float(best.max())
        return float(best.max())

    def _errors_at_a_random_place(self) -> Iterator[Tensor]:
        """The relative error of every sample [n]: with the best of the steps, then by way of our own differences."""
        data = self.inputs[self.position]
        rms = float(data.double().square().mean().sqrt()) or 1.0
        x, v = data + _OFFSET * rms * self._like(data), self._like(data) * rms
        u, ours = self._projected_derivative(x, v)
        size = ours.norm(dim=0)
        # A sample on which the network is flat has nothing to be relative to; then the others give the measure.
        measure = size.clamp_min(1e-3 * float(size.max())).clamp_min(1e-12)
        quotients = torch.stack([self._quotient(self._value, u, x, step * v) / step for step in _STEPS])
        errors = (quotients - ours).norm(dim=1) / measure
        yield errors.min(dim=0).values
        place = int(errors.nan_to_num(nan=torch.inf).amax(dim=1).argmin())
        yield self._explained(u, x, v, quotients[place], _STEPS[place], ours) / measure

    def _explained(self, u: Tensor, x: Tensor, v: Tensor, quotient: Tensor, step: float, ours: Tensor) -> Tensor:
        """‖U(q_h − p_h)‖ + ‖U(p_ε − Jv)‖ [n], p_h the quotient of the lowered network in float64.

        ε is too small for kinks. The first term has the same kinks on both sides, the second none: between them they
        lead from the file's function to our derivative.
        """
        same = self._quotient(self._lowered_value, u, x, step * v) / step
        tiny = self._quotient(self._lowered_value, u, x.double(), _TINY * v.double()) / _TINY
        error: Tensor = (quotient - same).norm(dim=0) + (tiny - ours).norm(dim=0)
        return error

    @staticmethod
    def _quotient(value: Callable[[Tensor], Tensor], u: Tensor, x: Tensor, step: Tensor) -> Tensor:
        """⟨uᵢ, fᵢ(x + s) − fᵢ(x − s)⟩ / 2 [k, n], corrected for the step that float32 really took."""
        ahead, behind = x + step, x - step
        taken = float((ahead.double() - behind.double()).norm() / (2 * step.double().norm()))
        f_ahead, f_behind = (value(end) for end in (ahead, behind))
        difference: Tensor = u * (f_ahead - f_behind)
        return difference.sum(-1) / (2 * taken)

    def _value(self, x: Tensor) -> Tensor:
        """f(x) [n, C] in float64, x in place of the differentiable input."""
        if self.model.opening is None:
            return self.model.witness(self._with(x)).double()
        return self._lowered_value(x)

    def _lowered_value(self, x: Tensor) -> Tensor:
        """The same, of the lowered network in float64."""
        model, _, inputs = self._double
        return self._in_x(model, inputs)(x.double()).detach()

    def input_adjoint_error(self) -> float:
        model, x, inputs = self._double
        f = self._in_x(model, inputs)
        v = self._like(x)
        out, jv = jvp(f, x, v)
        u = self._like(out)
        return self._normalised(u, jv, vjp(f, x)[1](u), v)

    def parameter_adjoint_error(self) -> float:
        model, _, inputs = self._double
        if not model.params:
            return 0.0
        v = {name: self._like(tensor) for name, tensor in model.params.items()}
        f = self._in_params(model, inputs)
        out, jv = jvp(f, model.params, v)
        u = self._like(out)
        back = vjp(f, model.params)[1](u)
        return self._normalised(u, jv, _concatenated(back), _concatenated(v))

    def hessian_asymmetry(self) -> float:
        model, _, inputs = self._double
        if not model.params:
            return 0.0
        f = self._in_params(model, inputs)
        gradient = torch.func.grad(lambda params: 0.5 * f(params).square().sum(dim=1).mean())
        u, v = ({name: self._like(tensor) for name, tensor in model.params.items()} for _ in range(2))
        product = vjp(gradient, model.params)[1]
        Hu, Hv = _concatenated(product(u)), _concatenated(product(v))
        return self._normalised(_concatenated(u), Hv, Hu, _concatenated(v))

    def unrepeatability(self) -> float:
        """How many of four calls differ in any digit of output or gradient, ours or the runtime's."""
        x = self.inputs[self.position]
        f = self._in_x(self.model, self.inputs)

        def once() -> tuple[Tensor, Tensor, Tensor]:
            out, pull = vjp(f, x)
            return out, pull(torch.ones_like(out)), self.model.witness(self.inputs)

        first, *later = [once() for _ in range(_CALLS)]
        return float(sum(not all(torch.equal(a, b) for a, b in zip(first, call, strict=True)) for call in later))

    def _like(self, tensor: Tensor) -> Tensor:
        return torch.randn(tensor.shape, generator=self.generator, dtype=tensor.dtype)

    def _with(self, x: Tensor) -> tuple[Tensor, ...]:
        return (*self.inputs[: self.position], x, *self.inputs[self.position + 1 :])

    def _projected_derivative(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Random cotangents u [k, n, C] and ⟨Jᵢᵀuᵢ, vᵢ⟩ [k, n], by reverse mode as all measurements use it."""
        leaf = x.detach().requires_grad_()
        out = self._side_by_side(leaf)
        u = torch.randn(_COTANGENTS, *out.shape, generator=self.generator, dtype=out.dtype)
        rows = torch.stack([torch.autograd.grad(out, leaf, cotangent, retain_graph=True)[0] for cotangent in u])
        return u.double(), (rows.double() * v.double()).flatten(2).sum(2)

    def _side_by_side(self, x: Tensor) -> Tensor:
        """f(x) [n, C], every sample alone under ``vmap``; in a batch where an operator forbids that.

        Kernels have batching rules of their own, and a wrong one spoils what is measured of a right network.
        """
        model, at = self.model, self.position

        def one(*sample: Tensor) -> Tensor:
            return model.apply(model.params, *(tensor.unsqueeze(0) for tensor in sample)).squeeze(0)

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of operators that vmap batches slowly
                return torch.vmap(one)(*self.inputs[:at], x, *self.inputs[at + 1 :])
        except (RuntimeError, ModelExecutionError) as error:
            let_refused_allocations_through(error)
            return self._in_x(model, self.inputs)(x)

    @cached_property
    def _double(self) -> tuple[FunctionalModel, Tensor, tuple[Tensor, ...]]:
        inputs = tuple(t.double() if t.is_floating_point() else t for t in self.inputs)
        return self.model.to(dtype=torch.float64), inputs[self.position], inputs

    def _in_x(self, model: FunctionalModel, inputs: tuple[Tensor, ...]) -> Callable[[Tensor], Tensor]:
        before, after = inputs[: self.position], inputs[self.position + 1 :]
        return lambda x: model.apply(model.params, *before, x, *after)

    @staticmethod
    def _in_params(model: FunctionalModel, inputs: tuple[Tensor, ...]) -> Callable[[Mapping[str, Tensor]], Tensor]:
        return lambda params: model.apply(params, *inputs)

    @staticmethod
    def _normalised(u: Tensor, jv: Tensor, jtu: Tensor, v: Tensor) -> float:
        """|⟨u, Jv⟩ − ⟨Jᵀu, v⟩| relative to ‖u‖‖Jv‖, so that a near-orthogonal pair is no false alarm."""
        left, right = (u * jv).sum(), (jtu * v).sum()
        scale = max(float(u.norm() * jv.norm()), float(jtu.norm() * v.norm()))
        return 0.0 if scale == 0 else abs(float(left - right)) / scale


def _concatenated(tensors: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors.values()])
