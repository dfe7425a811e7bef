"""Names of outputs, however a network puts them together, and inputs that a caller may leave out."""

import pytest
import torch
from torch import Tensor, nn

from eigengate.errors import ConfigError, ModelLoadError
from eigengate.loading import load_model
from tests.support.torch_networks import saved, torchscript
from tests.support.torchscript_signatures import (
    DictionaryIn,
    DictionaryOut,
    Layer,
    NamedOut,
    NestedNamedOut,
    NumbersWithDefaults,
    NumberWithoutDefault,
    OptionalMask,
    TupleIn,
    TupleOut,
)

X = torch.linspace(-1, 1, 6).reshape(2, 3)
NAMES = {
    DictionaryOut: ("logits", "hidden"),
    NamedOut: ("logits", "hidden"),
    NestedNamedOut: ("logits", "output_1", "output_2", "scale"),
    TupleOut: ("output_0", "output_1", "output_2"),
}


@pytest.mark.parametrize("form", ["scripted", "frozen"])
@pytest.mark.parametrize("kind", NAMES)
def test_outputs_are_chosen_by_name_and_by_place(kind: type[Layer], form: str) -> None:
    network = kind().eval()
    model = load_model(torchscript(network, X, form))
    assert model.program.outputs == NAMES[kind]
    expected = list(network.tensors(X))
    for index, name in enumerate(NAMES[kind]):
        for choice in (name, index):
            chosen = model.select(choice, None, cut_softmax=False)
            torch.testing.assert_close(chosen.apply(chosen.params, X), expected[index])
            torch.testing.assert_close(chosen.witness((X,)), expected[index])
    with pytest.raises(ConfigError, match="no output 'missing'") as caught:
        model.select("missing", None, cut_softmax=False)
    assert str(list(NAMES[kind])) in caught.value.hint


def test_a_traced_dictionary_keeps_its_keys() -> None:
    network = DictionaryOut().eval()
    model = load_model(saved(torch.jit.trace(network, X, strict=False)))
    assert model.program.outputs == ("logits", "hidden")


@pytest.mark.parametrize("kind", [OptionalMask, NumbersWithDefaults])
def test_inputs_with_defaults_are_left_out(kind: type[nn.Module]) -> None:
    network = kind().eval()
    model = load_model(torchscript(network, X, "scripted"))
    assert [spec.name for spec in model.inputs] == ["x"]
    torch.testing.assert_close(model.apply(model.params, X), network(X))
    torch.testing.assert_close(model.witness((X,)), network(X))


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        (TupleIn, r"Tuple\[Tensor, Tensor\]"),
        (DictionaryIn, r"Dict\[str, Tensor\]"),
        (NumberWithoutDefault, "float"),
    ],
)
def test_other_inputs_than_tensors_are_refused_with_a_remedy(kind: type[nn.Module], type_: str) -> None:
    with pytest.raises(ModelLoadError, match=f"has type {type_}; only tensors can be given") as caught:
        load_model(torchscript(kind(), X, "scripted"))
    assert "Wrap the model" in caught.value.hint


def test_a_tensor_of_a_named_tuple_is_that_of_the_field() -> None:
    program = load_model(torchscript(NamedOut(), X, "scripted")).program
    outputs: dict[str, Tensor] = dict(zip(program.outputs, program(program.parameters, X), strict=True))
    torch.testing.assert_close(outputs["hidden"], 2 * X)
