"""What every exported architecture must pass: the same checks for all, so that files share out the networks only."""

import copy
from collections.abc import Callable, Mapping
from functools import cache

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from eigengate import AuditConfig, load_model
from eigengate.loading.certificate import certify
from eigengate.loading.onnx import OnnxProgram, read_onnx
from eigengate.loading.probe import Probe
from eigengate.preparation import prepare
from tests.support.onnx_models import architecture, exported_architecture, twice_differentiable
from tests.support.zoo import ARCHITECTURES, Architecture

# Numbers that are attributes of the file (epsilons, the factors of SELU and GELU) are stored in single precision.
FILE_PRECISION = {"rtol": 3e-7, "atol": 3e-8}
# What the exporter computed is rounded to single precision in every layer; derivatives add that up.
FOLDED_PRECISION = {"rtol": 2e-5, "atol": 2e-6}


def exports_of(architectures: Mapping[str, Architecture]) -> pytest.MarkDecorator:
    """A class decorator: each test runs on every export of these networks."""
    exports = [(name, *export) for name, member in architectures.items() for export in member.exports]
    return pytest.mark.parametrize(("name", "exporter", "opset"), exports)


@cache
def program_of(name: str, exporter: str, opset: int) -> OnnxProgram:
    return OnnxProgram(onnx.load_from_string(exported_architecture(name, exporter, opset)))


@cache
def network_as_exported(name: str, exporter: str) -> nn.Module:
    """The network with the parameters that the exporter's file should have."""
    module = copy.deepcopy(architecture(name)[0])
    fold = ARCHITECTURES[name].folded.get(exporter)
    return module.eval() if fold is None else fold(module).eval()


class Subject:
    """One export in double precision beside the network in double precision, as functions of inputs and parameters."""

    def __init__(self, name: str, exporter: str, opset: int) -> None:
        self.program = program_of(name, exporter, opset).to(dtype=torch.float64)
        self.module = twice_differentiable(copy.deepcopy(network_as_exported(name, exporter)).double())
        self.inputs = tuple(t.double() if t.is_floating_point() else t for t in architecture(name)[1])
        self.trained = {key: value.detach() for key, value in self.module.named_parameters()}
        is_folded = exporter in ARCHITECTURES[name].folded
        self.precision = FOLDED_PRECISION if is_folded else FILE_PRECISION

    def ours(self, parameters: Mapping[str, Tensor], *inputs: Tensor) -> Tensor:
        return joined(self.program(parameters, *inputs))

    def theirs(self, parameters: Mapping[str, Tensor], *inputs: Tensor) -> Tensor:
        return joined(functional_call(self.module, dict(parameters), inputs))

    def close(self, ours: Tensor, theirs: Tensor) -> None:
        """Equal to the file's precision, relative to the largest number."""
        scale = theirs.abs().max().clamp_min(1e-3)
        torch.testing.assert_close(ours.detach() / scale, theirs.detach() / scale, **self.precision)


def joined(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    """All outputs as rows, one per sample."""
    several = outputs if isinstance(outputs, tuple) else (outputs,)
    return torch.cat([output.flatten(1) for output in several], 1)


def loss(outputs: Tensor) -> Tensor:
    """A scalar that no two outputs enter in the same way."""
    return (
        outputs.pow(2) * torch.linspace(0.5, 1.5, outputs.numel(), dtype=outputs.dtype).reshape(outputs.shape)
    ).sum()


def ordered(values: Mapping[str, Tensor]) -> Tensor:
    """All numbers in ascending order: exporters transpose, cut and reorder weights, which leaves this as it is."""
    return torch.cat([value.reshape(-1) for value in values.values()]).sort().values


class ArchitectureSuite:
    """Exports of published architectures against the networks themselves and against onnxruntime."""

    def test_float32_program_agrees_with_onnxruntime(self, name: str, exporter: str, opset: int) -> None:
        lowered, inputs = read_onnx(exported_architecture(name, exporter, opset)), architecture(name)[1]
        ours, theirs = lowered.program(lowered.program.parameters, *inputs), lowered.runtime(*inputs)
        for mine, other in zip(ours, theirs, strict=True):
            # A few hundred roundings of single precision.
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=3e-6)

    def test_float64_program_agrees_with_the_network_itself(self, name: str, exporter: str, opset: int) -> None:
        subject = Subject(name, exporter, opset)
        expected = subject.theirs(subject.trained, *subject.inputs)
        assert expected.std(0).max() > 1e-3  # samples differ: a constant network would prove nothing
        subject.close(subject.ours(subject.program.parameters, *subject.inputs), expected)

    def test_trained_numbers_are_those_of_the_network(self, name: str, exporter: str, opset: int) -> None:
        """All of them and nothing else: no statistic, table of indices, factor, epsilon or mask among them."""
        program, module = program_of(name, exporter, opset), network_as_exported(name, exporter)
        network = {key: value.detach() for key, value in module.named_parameters()}
        assert sum(value.numel() for value in program.parameters.values()) == sum(p.numel() for p in network.values())
        # Folded weights are computed in single precision in another order.
        torch.testing.assert_close(ordered(program.parameters), ordered(network), rtol=1e-5, atol=1e-6)

    def test_parameters_that_are_stored_as_they_are_keep_their_names(
        self, name: str, exporter: str, opset: int
    ) -> None:
        program, module = program_of(name, exporter, opset), architecture(name)[0]
        for key, value in module.named_parameters():
            same = [own for own, stored in program.parameters.items() if torch.equal(stored, value)]
            assert same in ([], [key])
        scopes = {key.rpartition(".")[0] for key, _ in module.named_parameters()}
        foreign = program.parameters.keys() - dict(network_as_exported(name, exporter).named_parameters()).keys()
        # What is not called as in the network has a name of the exporter's, never that of a buffer.
        assert all("." not in key or key.rpartition(".")[0] in scopes for key in foreign)
        assert not program.parameters.keys() & dict(module.named_buffers()).keys()

    def test_what_the_exporter_folded_is_said(self, name: str, exporter: str, opset: int) -> None:
        notes = [note for note in program_of(name, exporter, opset).notes if "by the exporter" in note]
        expected = ARCHITECTURES[name].said.get(exporter)
        assert len(notes) == (expected is not None)
        assert expected is None or expected in notes[0]

    def test_constants_follow_the_data_to_its_device(self, name: str, exporter: str, opset: int) -> None:
        """On the device without data, operands left behind on the CPU would be refused just as on an accelerator."""
        subject = Subject(name, exporter, opset)
        if not {"ai.onnx::Resize", "ai.onnx::Loop"}.isdisjoint(subject.program.operators):
            pytest.skip("factors and conditions are constants that are read as numbers, and that device has none")
        elsewhere = subject.program.to(device=torch.device("meta"))
        y = joined(elsewhere(elsewhere.parameters, *(tensor.to("meta") for tensor in subject.inputs)))
        expected = subject.theirs(subject.trained, *subject.inputs)
        assert (y.device.type, y.dtype, y.shape) == ("meta", torch.float64, expected.shape)

    def test_samples_one_by_one_give_the_batch(self, name: str, exporter: str, opset: int) -> None:
        subject = Subject(name, exporter, opset)
        parameters = subject.program.parameters
        rows = vmap(lambda *sample: subject.ours(parameters, *(part.unsqueeze(0) for part in sample)).squeeze(0))
        torch.testing.assert_close(rows(*subject.inputs), subject.ours(parameters, *subject.inputs))

    def test_input_derivatives_of_first_and_second_order_agree_with_the_network(
        self, name: str, exporter: str, opset: int
    ) -> None:
        subject = Subject(name, exporter, opset)
        x, *others = subject.inputs
        v = torch.linspace(-1, 1, x.numel(), dtype=x.dtype).reshape(x.shape)

        def slope(function: Callable[..., Tensor], parameters: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
            return grad(lambda z: loss(function(parameters, z, *others)))

        ours, theirs = slope(subject.ours, subject.program.parameters), slope(subject.theirs, subject.trained)
        with sdpa_kernel(SDPBackend.MATH):
            expected, pull = vjp(theirs, x)
            expected_product = pull(v)[0]
        derivative, forward_over_reverse = jvp(ours, (x,), (v,))
        subject.close(derivative, expected)
        subject.close(forward_over_reverse, expected_product)
        subject.close(vjp(ours, x)[1](v)[0], expected_product)

    def test_parameter_derivatives_of_first_and_second_order_agree_with_the_network(
        self, name: str, exporter: str, opset: int
    ) -> None:
        """As a whole in an order that no layout changes, and one by one where name and shape are kept."""
        subject = Subject(name, exporter, opset)

        def along_itself(
            function: Callable[..., Tensor], parameters: Mapping[str, Tensor]
        ) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
            """Gradient, and the Hessian times the parameters."""
            slope, pull = vjp(grad(lambda values: loss(function(values, *subject.inputs))), dict(parameters))
            return slope, pull(dict(parameters))[0]

        with sdpa_kernel(SDPBackend.MATH):
            expected = along_itself(subject.theirs, subject.trained)
        for ours, theirs in zip(along_itself(subject.ours, subject.program.parameters), expected, strict=True):
            subject.close(ordered(ours), ordered(theirs))
            for key in ours.keys() & theirs.keys():
                if ours[key].shape == theirs[key].shape:
                    subject.close(ours[key], theirs[key])

    def test_the_certificate_is_passed(self, name: str, exporter: str, opset: int) -> None:
        model = load_model(exported_architecture(name, exporter, opset))
        arrays = {spec.name: tensor for spec, tensor in zip(model.inputs, architecture(name)[1], strict=True)}
        prepared = prepare(model, Probe(arrays, None, "0" * 64), AuditConfig())
        for output in range(len(model.program.outputs)):
            chosen = model.select(output, None, cut_softmax=False)
            generator = torch.Generator().manual_seed(0)
            certificate = certify(chosen, prepared.binding.inputs, prepared.binding.position, generator)
            assert certificate.passed, certificate
            assert all(check.error is not None for check in certificate.checks), certificate
