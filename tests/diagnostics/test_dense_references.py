"""Every reported value against its definition, evaluated on dense float64 matrices."""

import math

import pytest
import torch
from torch import Tensor

from eigengate.operators import ParameterSpace, Subject
from tests.support import dense
from tests.support.measuring import measured, values
from tests.support.subjects import in_dtype, small_subject


def singular_values(matrices: Tensor) -> dict[str, float]:
    """Means over samples of the definitions of design section 1.2."""
    collected: dict[str, list[float]] = {}
    for matrix in matrices:
        s = torch.linalg.svdvals(matrix)
        p, q, d = s**2 / (s**2).sum(), s / s.sum(), matrix.shape[1]
        H = float(-(p * p.log()).sum())
        row = {
            "operator_norm": float(s[0]),
            "frobenius_norm": float(matrix.norm()),
            "stable_rank": float(matrix.norm() ** 2 / s[0] ** 2),
            "spectral_entropy": H,
            "effective_rank": math.exp(H),
            "amplitude_entropy": float(-(q * q.log()).sum()),
            "condition_number": float(s[0] / s[-1]),
            "typical_gain": float(matrix.norm()) / d**0.5,
            "entropy_gain": float(s[0]) * (math.exp(H) / d) ** 0.5,
        }
        for name, value in row.items():
            collected.setdefault(name, []).append(value)
    return {name: sum(column) / len(column) for name, column in collected.items()}


def eigenvalues(kernel: Tensor, rank: int) -> dict[str, float]:
    e = torch.linalg.eigvalsh(kernel).flip(0)[:rank]
    p, mean = e / e.sum(), kernel.trace() / len(kernel)
    H = float(-(p * p.log()).sum())
    return {
        "operator_norm": float(e[0]),
        "frobenius_norm": float(kernel.norm()),
        "trace": float(kernel.trace()),
        "stable_rank": float(e.sum() / e[0]),
        "spectral_entropy": H,
        "effective_rank": math.exp(H),
        "condition_number": float(e[0] / e[-1]),
        "dominance": float(e[0] / mean),
        "label_noise_gain": float(((e / (e + mean)) ** 2).sum() / len(kernel)),
    }


def spread(points: Tensor) -> float:
    flat = points.flatten(1)
    return float((flat - flat.mean(dim=0)).norm() / len(flat) ** 0.5)


def reference(subject: Subject) -> dict[str, float]:
    n = subject.n
    f = subject.outputs(subject.params, subject.x)
    C = f.shape[1]
    J, G, H = dense.input_jacobians(subject), dense.parameter_jacobian(subject), dense.loss_hessian(subject)
    t = ParameterSpace.of(subject.params).units(subject.params)
    P, GT = len(t), G * t
    Gi, GiT = G.reshape(n, C, P), GT.reshape(n, C, P)
    K, KT = (torch.einsum("icp,jcp->ij", M, M) for M in (Gi, GiT))
    GN, THT = dense.gauss_newton(subject), t.unsqueeze(1) * H * t
    h, tht = torch.linalg.eigvalsh(H), torch.linalg.eigvalsh(THT)
    dx, df, loss_unit = spread(subject.x), spread(f), math.log(C)
    top = [float(torch.linalg.svdvals(M)[0]) for M in GiT]
    forward = torch.tensor([float(torch.linalg.svdvals(M)[0]) for M in J]) * dx / df
    typical = torch.tensor([float(M.norm()) for M in J]) / J.shape[2] ** 0.5 * dx / df
    kt = eigenvalues(KT, n)
    expected = {f"input_jacobian.{k}": v for k, v in singular_values(J).items()}
    expected |= {f"parameter_jacobian.{k}": v for k, v in singular_values(Gi).items()}
    expected |= {f"ntk.{k}": v for k, v in eigenvalues(K, n).items()}
    gn = eigenvalues(GN, n * (C - 1))  # each p is orthogonal to the ones vector, so one direction per sample is flat
    expected |= {f"gauss_newton.{k}": v for k, v in gn.items() if k not in ("dominance", "label_noise_gain")}
    expected["gauss_newton.lambda_max"] = expected.pop("gauss_newton.operator_norm")
    components = {
        "forward": float(forward.log10().mean()),
        "parameter": sum(math.log10(s / df) for s in top) / n,
        "training": math.log10(kt["dominance"]),
        "curvature": math.log10(float(tht[-1]) / (2 * loss_unit)),
    }
    typicals = {
        "forward": float(typical.log10().mean()),
        "parameter": sum(math.log10(float(M.norm()) / P**0.5 / df) for M in GiT) / n,
        "training": math.log10(n / kt["effective_rank"]),
        "curvature": math.log10(float(tht.sum()) / P / (2 * loss_unit)),
    }
    return expected | {
        "parameter_jacobian.relative_operator_norm": sum(top) / n,
        "parameter_jacobian.relative_frobenius_norm": sum(float(M.norm()) for M in GiT) / n,
        "ntk.relative_operator_norm": kt["operator_norm"],
        "ntk.relative_effective_rank": kt["effective_rank"],
        "ntk.relative_dominance": kt["dominance"],
        "hessian.lambda_max": float(h[-1]),
        "hessian.lambda_min": float(h[0]),
        "hessian.trace": float(h.sum()),
        "hessian.negative_mass": float(h[h < -1e-12].abs().sum() / h.abs().sum()),
        "hessian.spectral_entropy": float(torch.special.entr(h.abs() / h.abs().sum()).sum()),
        "hessian.max_stable_step": 2 / float(h[-1]),
        "hessian.relative_lambda_max": float(tht[-1]),
        "hessian.relative_trace": float(tht.sum()),
        "model.output_spread": df,
        "probe.input_spread": dx,
        "model.loss": float(subject.mean_loss(subject.params)),
        "model.accuracy": float((f.argmax(1) == subject.y).double().mean()),
        "probe.samples": float(n),
        **{f"index.{k}": v for k, v in components.items()},
        **{f"index.{k}_typical": v for k, v in typicals.items()},
        "index.gmsi": sum(components.values()) / 4,
        "index.gmsi_typical": sum(typicals.values()) / 4,
        "index.gmsi_raw": expected["input_jacobian.operator_norm"]
        + expected["parameter_jacobian.frobenius_norm"]
        + expected["ntk.operator_norm"] / n
        + float(h[-1]),
    }


@pytest.mark.parametrize("kind", ["mlp", "cnn", "attention"])
def test_every_value_is_its_definition_in_float64_and_within_1e_5_in_float32(kind):
    subject = small_subject(kind)
    expected = reference(subject)
    double, single = values(subject), values(in_dtype(subject, torch.float32))
    assert set(double) - set(expected) == {"ntk.target_alignment"}
    for name, truth in expected.items():
        assert double[name] == pytest.approx(truth, rel=1e-7, abs=1e-10), name
        # Smallest eigenvalues cancel: their error is relative to the largest one, which condition numbers divide by.
        amplified = "condition_number" in name
        assert single[name] == pytest.approx(truth, rel=1e-3 if amplified else 1e-5, abs=2e-6), name


def test_exact_values_have_numerical_intervals_without_width():
    for measurement in measured(small_subject("mlp")).values():
        assert measurement.exact, measurement.name
        assert measurement.error.numerical.low == measurement.error.numerical.high == measurement.value


def test_values_have_a_sampling_interval_around_them_or_say_why_not():
    for measurement in measured(small_subject("mlp", n=12)).values():
        sampling = measurement.error.sampling
        if sampling is not None:
            assert sampling.low <= measurement.value <= sampling.high, measurement.name
        elif measurement.name.startswith(("ntk", "gauss_newton", "hessian")):
            assert "no sampling interval" in measurement.detail
