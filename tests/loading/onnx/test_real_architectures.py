"""The architectures that ship inside the onnx package: as they are, and with weights that tell layers apart."""

import onnx
import pytest
import torch
from torch import Tensor
from torch.func import jvp, vjp

from eigengate import AuditConfig, load_model
from eigengate.loading.certificate import certify
from eigengate.loading.onnx import OnnxProgram, OnnxRuntime, read_onnx
from eigengate.loading.probe import Probe
from eigengate.preparation import prepare
from tests.support.light_models import LIGHT_MODELS, image, shipped, shipped_input, with_random_weights

# Elements as published; of batch normalisation with a trained scale behind it, both scales and shifts are in the file.
PUBLISHED = {
    "bvlc_alexnet": 60_965_224,
    "densenet121": 7_978_856 + 2 * 41_824,
    "inception_v1": 6_998_552,
    "resnet50": 25_557_032,
    "squeezenet": 1_235_496,
    "vgg19": 143_667_240,
}
# More than ten seconds, most of it for drawing the weights or for second derivatives.
HEAVY = {"vgg19", "zfnet512", "bvlc_alexnet"}
every_light_model = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in HEAVY else ()) for name in LIGHT_MODELS]
)


@pytest.mark.parametrize("name", LIGHT_MODELS)
def test_a_shipped_file_runs_as_it_is(name: str) -> None:
    """In most of these files every weight is the same number, so that only a gross mistake would show."""
    model = onnx.load_from_string(shipped(name))
    program, x = OnnxProgram(model), shipped_input(model)
    logits = program.without_closing_softmax(0) or program
    (ours,) = logits(program.parameters, x)
    (theirs,) = OnnxRuntime(shipped(name))(x)
    if logits is program:
        # Single precision through 121 layers.
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    else:
        # All classes have the same logit, up to roundings that a softmax of numbers this large would make differences.
        torch.testing.assert_close(ours, ours.mean().expand_as(ours), rtol=1e-4, atol=0)
        assert theirs.shape == ours.shape


@every_light_model
def test_a_real_architecture_agrees_with_onnxruntime_and_with_its_own_differences(name: str) -> None:
    """All weights are parameters, and statistics are not; in double precision a difference quotient is exact enough
    to be held against both modes."""
    model = with_random_weights(name)
    lowered, x = read_onnx(model.SerializeToString()), image(model, 1)
    program, runtime = lowered.program, lowered.runtime
    (ours,), (theirs,) = program(program.parameters, x), runtime(x)
    # Relative to the largest output, in single precision through up to 121 layers.
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 2e-5
    assert float(theirs.std()) > 1e-5  # the outputs differ, so that agreement means something
    trained = sum(value.numel() for value in program.parameters.values())
    assert trained == PUBLISHED.get(name, trained)
    assert not any(key.endswith(("_mean_0", "_var_0", "_rm_0", "_riv_0")) for key in program.parameters)
    assert_differences_agree(program.to(dtype=torch.float64), x.double())


def assert_differences_agree(program: OnnxProgram, x: Tensor) -> None:
    generator = torch.Generator().manual_seed(1)
    v = torch.randn(x.shape, generator=generator, dtype=x.dtype)

    def function(z: Tensor) -> Tensor:
        return program(program.parameters, z)[0].flatten()

    y, forward = jvp(function, (x,), (v,))
    u = torch.randn(y.shape, generator=generator, dtype=y.dtype)
    reverse = (vjp(function, x)[1](u)[0] * v).sum()
    torch.testing.assert_close(reverse, u @ forward, rtol=1e-9, atol=1e-12 * float(u.norm() * forward.norm()))
    quotient = (function(x + 1e-6 * v) - function(x - 1e-6 * v)) / 2e-6
    # A few of some hundred thousand rectifiers and pooling windows switch even within so small a step.
    assert float((quotient - forward).norm() / forward.norm()) < 1e-2


@pytest.mark.parametrize(
    "name",
    [
        "squeezenet",
        "shufflenet",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("inception_v1", "inception_v2", "densenet121")),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet50", "bvlc_alexnet")),
    ],
)
def test_a_real_architecture_is_certified(name: str) -> None:
    """Equal to onnxruntime forward, derivatives equal to differences through it, adjoint and symmetric.

    The two largest networks would take minutes and ten gigabytes of second derivatives.
    """
    model = with_random_weights(name)
    lowered = load_model(model.SerializeToString())
    probe = Probe({lowered.inputs[0].name: image(model, 1)}, None, "0" * 64)
    prepared = prepare(lowered, probe, AuditConfig())
    chosen = lowered.select(None, None, cut_softmax=False)
    generator = torch.Generator().manual_seed(0)
    certificate = certify(chosen, prepared.binding.inputs, prepared.binding.position, generator)
    assert certificate.passed, certificate.checks
    assert len(certificate.checks) == 6
    assert all(check.error is not None for check in certificate.checks), certificate.checks
