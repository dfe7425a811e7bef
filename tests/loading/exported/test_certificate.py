"""The witness: PyTorch's own interpreter vouches for right programs, and convicts wrong ones."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from eigengate import AuditConfig, load_model
from eigengate.errors import CertificateError, ModelExecutionError
from eigengate.loading.certificate import certify, require
from eigengate.loading.exported import ExportedProgram, read_exported
from eigengate.loading.functional_model import FunctionalModel
from eigengate.loading.probe import Probe
from eigengate.preparation import prepare
from tests.support.exported_networks import FREE, MODEL, Form, build, edited, exported

# Those whose input can be differentiated.
NAMES = [
    "mlp",
    "conv_norm",
    "residual",
    "attention",
    "multi_head",
    "recurrent",
    "two_inputs",
    "dict_output",
    "tied",
    "buffers",
]


@cache
def file(name: str, form: Form = FREE) -> bytes:
    return exported(*build(name), form)


def certificate_of(model: FunctionalModel, inputs: tuple[Tensor, ...]):
    arrays = {spec.name: tensor for spec, tensor in zip(model.inputs, inputs, strict=True)}
    prepared = prepare(model, Probe(arrays, None, "0" * 64), AuditConfig())
    return certify(model, prepared.binding.inputs, prepared.binding.position, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("form", [Form(), Form(strict=True), Form(dynamic=False)], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_a_right_program_is_certified(name: str, form: Form) -> None:
    model = load_model(file(name, form))
    assert model.format == "pt2"
    certificate = certificate_of(model, build(name)[1])
    assert certificate.passed, certificate
    assert all(check.error is not None for check in certificate.checks), certificate
    assert certificate.runtime.startswith("torch.export interpreter (re-emitted archive), torch ")


def test_a_program_with_another_constant_is_convicted_and_the_node_named() -> None:
    right, wrong = (read_exported(data) for data in (file("conv_norm"), with_another_constant(file("conv_norm"))))
    model = replace(load_model(file("conv_norm")), program=wrong.program, runtime=right.runtime)
    certificate = certificate_of(model, build("conv_norm")[1])
    assert not certificate.passed
    assert certificate.first_divergence is not None
    assert certificate.first_divergence.value.startswith("aten::batch_norm %batch_norm")
    with pytest.raises(CertificateError, match="batch_norm"):
        require(certificate)


def with_another_constant(data: bytes) -> bytes:
    def edit(document: dict) -> None:
        (node,) = (n for n in document["graph_module"]["graph"]["nodes"] if "batch_norm" in n["target"])
        (eps,) = (argument for argument in node["inputs"] if argument["name"] == "eps")
        eps["arg"]["as_float"] = 0.5

    return edited(data, MODEL, edit)


def test_a_program_with_a_cut_gradient_is_convicted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(file("mlp"))
    whole = ExportedProgram.__call__

    def cut(self: ExportedProgram, params: object, *inputs: Tensor) -> tuple[Tensor, ...]:
        return whole(self, params, *(tensor + (tensor.detach() - tensor) * 0.5 for tensor in inputs))

    monkeypatch.setattr(ExportedProgram, "__call__", cut)
    certificate = certificate_of(model, build("mlp")[1])
    failed = {check.name for check in certificate.checks if not check.passed}
    assert failed == {"directional_derivatives"}


def test_the_witness_has_no_state_and_leaves_its_inputs_alone() -> None:
    class Careless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(2))

        def forward(self, x: Tensor) -> Tensor:
            self.seen.add_(1.0)
            return x.mul_(2.0)

    x = torch.randn(3, 2)
    lowered = read_exported(exported(Careless(), (x.clone(),), Form(dynamic=False)))
    given = x.clone()
    first, second = (lowered.runtime(given)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(given, x)


def test_the_witness_says_what_it_cannot_run() -> None:
    runtime = read_exported(file("mlp")).runtime
    with pytest.raises(ModelExecutionError, match="raised on its own executor"):
        runtime(torch.randn(3, 7))


@pytest.mark.parametrize("last", [nn.Softmax(1), nn.Softmax(-1), nn.LogSoftmax(1)], ids=str)
def test_a_closing_softmax_is_cut(last: nn.Module) -> None:
    body = build("mlp")[0]
    x = torch.randn(3, 6)
    for form in (Form(), Form(decomposed=True)):
        model = load_model(exported(nn.Sequential(body, last, nn.Dropout()).eval(), (x,), form))
        cut = model.select(None, None, cut_softmax=True)
        assert cut.output.softmax_cut
        torch.testing.assert_close(cut.apply(cut.params, x), body(x))
        assert certificate_of(model, (x,)).passed


@pytest.mark.parametrize(
    "network", [nn.Sequential(nn.Softmax(1), nn.Linear(6, 2)), nn.Softmax(0)], ids=["not the last", "not over classes"]
)
def test_another_softmax_is_not_cut(network: nn.Module) -> None:
    model = load_model(exported(network.eval(), (torch.randn(3, 6),)))
    assert not model.select(None, None, cut_softmax=True).output.softmax_cut
