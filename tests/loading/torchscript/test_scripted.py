"""What only scripted code has: enumerations, dictionaries filled one by one, modes, blocks without gradients."""

import io
import zipfile

import pytest
import torch
from torch import Tensor, nn

from eigengate.errors import ModelError, ModelLoadError, UnsupportedOperatorError
from eigengate.loading import load_model
from eigengate.loading.binding import bind
from eigengate.loading.probe import Probe
from tests.support.scripted_networks import (
    AsksForGradients,
    Enumerated,
    Filled,
    FilledOnOneSide,
    KeptByAList,
    Moded,
    Rounded,
    WithoutGradients,
)
from tests.support.torch_networks import saved, torchscript
from tests.support.torchscript_signatures import Layer

X = torch.linspace(-1, 1, 6).reshape(2, 3)
FORMS = ["scripted", "frozen", "optimised"]


class Linear(Layer):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def file(network: nn.Module, form: str) -> bytes:
    if form == "optimised":
        return saved(torch.jit.optimize_for_inference(torch.jit.script(network)))
    return torchscript(network, X, form)


@pytest.mark.parametrize("form", FORMS)
def test_enumerations_are_read(form):
    network = Enumerated().eval()
    model = load_model(file(network, form))
    torch.testing.assert_close(model.apply(model.params, X), network(X))
    torch.testing.assert_close(model.witness((X,)), network(X))


def test_a_member_that_no_enumeration_has_is_refused():
    source, target = zipfile.ZipFile(io.BytesIO(file(Enumerated().eval(), "scripted"))), io.BytesIO()
    with zipfile.ZipFile(target, "w") as changed:
        for name in source.namelist():
            data = source.read(name)
            changed.writestr(name, data.replace(b"tanh", b"sinh") if name.endswith("data.pkl") else data)
    with pytest.raises(ModelLoadError, match=r"the value 'sinh', which is none of '__torch__.*Activation'"):
        load_model(target.getvalue())


@pytest.mark.parametrize("form", FORMS)
def test_a_dictionary_filled_one_by_one_has_named_outputs(form):
    network = Filled().eval()
    program = load_model(file(network, form)).program
    found = dict(zip(program.outputs, program(program.parameters, X), strict=True))
    expected = network(X)
    assert list(found) == list(expected) == ["logits", "hidden"]
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor)


@pytest.mark.parametrize("kind", [FilledOnOneSide, KeptByAList])
def test_a_dictionary_that_others_may_change_is_refused(kind):
    with pytest.raises(ModelLoadError, match="a dict whose content is not fixed"):
        load_model(file(kind().eval(), "scripted"))


@pytest.mark.parametrize(
    ("kind", "training", "remarks"),
    [(Moded, True, 1), (Moded, False, 0), (Linear, True, 0)],
    ids=["training", "evaluation", "does not ask"],
)
def test_a_module_saved_in_training_mode_is_measured_in_evaluation_mode_and_the_report_says_so(kind, training, remarks):
    network = kind().train(training)
    model = load_model(file(network, "scripted"))
    assert sum("saved in training mode" in note for note in model.notes) == remarks
    torch.testing.assert_close(model.apply(model.params, X), network.eval()(X))


@pytest.mark.parametrize("form", FORMS)
def test_a_block_without_gradients_computes_the_same_function(form):
    network = WithoutGradients().eval()
    model = load_model(file(network, form))
    torch.testing.assert_close(model.apply(model.params, X), network(X))
    torch.testing.assert_close(model.witness((X,)), network(X))
    assert any(note.startswith("detach() is taken as the identity") for note in model.notes)

    def plain(x: Tensor) -> Tensor:
        return network.layer(x) * (torch.tanh(network.layer(x)) + 1.0)

    ours, theirs = (torch.func.jacrev(f)(X) for f in (lambda x: model.apply(model.params, x), plain))
    torch.testing.assert_close(ours, theirs)


def test_a_block_that_asks_whether_there_are_gradients_is_refused():
    with pytest.raises(UnsupportedOperatorError, match="prim::Enter"):
        load_model(file(AsksForGradients().eval(), "scripted"))


@pytest.mark.parametrize(
    ("call", "place"),
    [(b"torch.set_grad_enabled(False)", ""), (b"__torch__.torch.autograd.grad_mode.off()", "grad_mode.py")],
    ids=["in forward", "in a function beside the block"],
)
def test_switching_gradients_outside_of_such_a_block_is_refused(call, place):
    scripted = torch.jit.script(WithoutGradients().eval())
    code = zipfile.ZipFile(io.BytesIO(saved(scripted)))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as changed:
        for name in code.namelist():
            data = code.read(name)
            if name.endswith("scripted_networks.py"):
                data = data.replace(b"    return ", b"    _9 = " + call + b"\n    return ")
            elif place and name.endswith(place):
                data += b"def off() -> NoneType:\n  torch.set_grad_enabled(False)\n  return None\n"
            changed.writestr(name, data)
    with pytest.raises(UnsupportedOperatorError, match="aten::set_grad_enabled"):
        load_model(target.getvalue())


@pytest.mark.parametrize("form", FORMS)
def test_weights_rounded_by_freezing_do_not_make_the_input_half(form):
    network = Rounded().eval()
    model = load_model(file(network, form))
    (x,) = bind(model.inputs, Probe({"x": X}, None, "0" * 64)).inputs
    assert x.dtype is torch.float32
    # Ours may keep the bias in another order of operations: half precision has eleven digits.
    torch.testing.assert_close(model.apply(model.params, x), network(X), rtol=0, atol=2**-9)


def test_a_network_in_half_precision_is_still_refused():
    model = load_model(file(nn.Sequential(nn.Linear(3, 2)).half().eval(), "scripted"))
    with pytest.raises(ModelError, match="'input' is float16"):
        bind(model.inputs, Probe({"x": X}, None, "0" * 64))
