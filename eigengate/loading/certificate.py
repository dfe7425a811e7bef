"""The certificate: proof, on the caller's own probe data, that we differentiate the network that was uploaded."""

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from eigengate.contract import Certificate, CertificateCheck, Divergence
from eigengate.errors import CertificateError, ModelExecutionError
from eigengate.loading.derivative_exam import DerivativeExam
from eigengate.loading.functional_model import FunctionalModel, filled_up

# float32 sums of a few thousand terms in another order differ by about 1e-6 of the largest one; deep networks amplify
# that a hundredfold. A wrong operator is wrong in the first digits.
PARITY_TOLERANCE: Final = 1e-4
# A central difference in float32 has at best eps^(2/3) ≈ 2e-5 relative error per smooth output; kinks of piecewise
# linear networks inside the step leave up to about a percent. A cut gradient path shows as tens of percent.
DIFFERENCE_TOLERANCE: Final = 2e-2
# Both sides in float64, so only rounding is left.
IDENTITY_TOLERANCE: Final = 1e-8
_DERIVATIVE_SAMPLES: Final = 8
# How torch says that an operator has no forward mode or no second derivative.
_LACKING: Final = (
    "forward AD",
    "forward-mode",
    "derivative for",
    "double backward",
    "not implemented",
    "Batching rule",
)


def certify(
    model: FunctionalModel, inputs: tuple[Tensor, ...], position: int, generator: torch.Generator
) -> Certificate:
    """Compare the lowered network with its original runtime on the probe data.

    Forward parity on all samples; directional derivatives against central differences *through the runtime* (of the
    lowered network where the differentiable input is the output of an embedding, which no runtime can be given); the
    adjoint identity ⟨u, Jv⟩ = ⟨Jᵀu, v⟩ in inputs and in parameters and the symmetry ⟨u, Hv⟩ = ⟨v, Hu⟩ of ½ mean ‖f‖²,
    in float64; equal digits over four calls.

    Args:
        model: The model as loaded, before a closing softmax is cut, on the CPU in its own dtype.
        inputs: All model inputs, [n, ...]; the output of an embedding that the model is opened at is the last.
        position: Which input is differentiated.
        generator: Where the random directions come from.
    """
    few = tuple(tensor[:_DERIVATIVE_SAMPLES] for tensor in inputs)
    exam = DerivativeExam(model, few, position, generator)
    parity, divergence = _forward_parity(model, inputs)
    checks = [parity]
    if parity.passed:
        checks += [
            _made("directional_derivatives", DIFFERENCE_TOLERANCE, exam.difference_error, _differences_of(model)),
            _made("adjoint_inputs", IDENTITY_TOLERANCE, exam.input_adjoint_error),
            _made("adjoint_parameters", IDENTITY_TOLERANCE, exam.parameter_adjoint_error),
            _made("hessian_symmetry", IDENTITY_TOLERANCE, exam.hessian_asymmetry),
            _made("repeatability", 0.0, exam.unrepeatability),
        ]
    passed = all(check.passed for check in checks)
    return Certificate(passed=passed, runtime=model.runtime.name, checks=tuple(checks), first_divergence=divergence)


def require(certificate: Certificate) -> None:
    """Raise ``CertificateError`` naming the failed checks and the first diverging node, unless all passed."""
    if certificate.passed:
        return
    failed = [
        f"{check.name}: error {check.error:.2g} exceeds {check.tolerance:.2g}"
        if check.error is not None
        else f"{check.name}: {check.detail}"
        for check in certificate.checks
        if not check.passed
    ]
    where = certificate.first_divergence
    raise CertificateError(
        "; ".join(failed) + (f"; first diverging value: {where.value} (error {where.error:.2g})" if where else ""),
        hint="numbers of a wrongly lowered network are worth nothing; please report the operator that diverges",
        context={"certificate": certificate.model_dump(mode="json")},
    )


def _differences_of(model: FunctionalModel) -> str | None:
    """What the central differences are of, where it is not the runtime."""
    return "differences of the lowered network: its runtime takes no embeddings" if model.opening else None


def _made(name: str, tolerance: float, measure: Callable[[], float], detail: str | None = None) -> CertificateCheck:
    """The check, or a note that an operator lacks what the check needs, which is no disagreement."""
    try:
        error = measure()
    except (RuntimeError, ModelExecutionError) as reason:
        if not any(phrase in str(reason) for phrase in _LACKING):
            raise
        text = str(reason).splitlines()[0][:300]
        return CertificateCheck(name=name, passed=True, error=None, tolerance=tolerance, detail=f"not made: {text}")
    if not math.isfinite(error):
        return CertificateCheck(name=name, passed=False, error=None, tolerance=tolerance, detail="not finite")
    return CertificateCheck(name=name, passed=error <= tolerance, error=error, tolerance=tolerance, detail=detail)


def _forward_parity(model: FunctionalModel, inputs: tuple[Tensor, ...]) -> tuple[CertificateCheck, Divergence | None]:
    ours = model.apply(model.params, *inputs).detach()
    theirs = model.witness(inputs)
    if ours.shape != theirs.shape:
        detail = f"shapes differ: {tuple(ours.shape)} against {tuple(theirs.shape)}"
        return CertificateCheck(
            name="forward_parity", passed=False, error=None, tolerance=PARITY_TOLERANCE, detail=detail
        ), None
    both_finite = bool(torch.isfinite(ours).all() and torch.isfinite(theirs).all())
    error = _relative(ours, theirs) if both_finite else float("nan")
    same_classes = float((ours.argmax(1) == theirs.argmax(1)).double().mean())
    check = CertificateCheck(
        name="forward_parity",
        passed=both_finite and error <= PARITY_TOLERANCE,
        error=error if both_finite else None,
        tolerance=PARITY_TOLERANCE,
        detail=f"largest argument agrees on {same_classes:.1%} of samples" if both_finite else "outputs are not finite",
    )
    return check, None if check.passed else _first_divergence(model, inputs)


def _first_divergence(model: FunctionalModel, inputs: tuple[Tensor, ...]) -> Divergence | None:
    size = model.fixed_batch or 2
    few = tuple(filled_up(tensor[:size], size) for tensor in inputs)
    watched = dict(model.program.watch(model.program.parameters, *few))
    witnessed = model.runtime.values(list(watched), *model.file_inputs(few))
    for name, ours in watched.items():
        theirs = witnessed.get(name)
        if theirs is None or theirs.shape != ours.shape:
            continue
        error = _relative(ours.detach(), theirs)
        if not error <= PARITY_TOLERANCE:
            return Divergence(value=name, error=error if error < float("inf") else 1e308)
    return None


def _relative(ours: Tensor, theirs: Tensor) -> float:
    """Largest |a − b| over largest |b|."""
    scale = theirs.double().abs().max().clamp_min(1e-30)
    return float((ours.double() - theirs.double()).abs().max() / scale)
