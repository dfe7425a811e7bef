"""Names of outputs: the keys on the way to them, stable however the network was exported."""

import json
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from eigengate import load_model
from eigengate.errors import ConfigError, ModelLoadError
from eigengate.loading.exported import read_exported
from eigengate.loading.exported.structure import output_names
from tests.support.exported_networks import Form, build, exported, program_of, saved


class Pair(NamedTuple):
    mean: Tensor
    spread: Tensor


torch.utils._pytree._register_namedtuple(Pair, serialized_type_name="somewhere.Pair")


class Returning(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> object:
        a, b = x.sin(), x.cos()
        match self.kind:
            case "tensor":
                return a
            case "tuple":
                return a, b
            case "nested":
                return [a, {"b": b, "c": (a + b, None)}], 3
            case "named":
                return Pair(a, b)
            case "repeated":
                return {"x": x, "again": x, "a": a}
        return {"only": 3}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("tensor", ("output_0",)),
        ("tuple", ("output_0", "output_1")),
        ("nested", ("output_0", "0.1.b", "0.1.c.0")),
        ("named", ("mean", "spread")),
        ("repeated", ("x", "again", "a")),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_outputs_are_named_after_their_places(kind: str, names: tuple[str, ...], strict: bool) -> None:
    x = torch.randn(3, 2)
    lowered = read_exported(exported(Returning(kind), (x,), Form(strict=strict)))
    assert lowered.program.outputs == names
    leaves = [leaf for leaf in torch.utils._pytree.tree_leaves(Returning(kind)(x)) if isinstance(leaf, Tensor)]
    for results in (lowered.program({}, x), lowered.runtime(x)):
        torch.testing.assert_close(list(results), leaves)


def test_a_network_without_a_tensor_to_give_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="returns no tensor"):
        read_exported(exported(Returning("number"), (torch.randn(3, 2),), Form(dynamic=False)))


def test_types_of_other_libraries_need_not_be_known() -> None:
    """Dataclasses, as model libraries return them, are named by their fields without anybody importing the library."""

    @dataclass
    class Answer:
        logits: Tensor
        hidden: Tensor

    class Answering(nn.Module):
        def forward(self, x: Tensor) -> Answer:
            return Answer(x.sin(), x.cos())

    torch.export.register_dataclass(Answer, serialized_type_name="somewhere.Answer")
    x = torch.randn(3, 2)
    data = saved(program_of(Answering(), (x,)))
    assert b"somewhere.Answer" in data
    lowered = read_exported(data)
    assert lowered.program.outputs == ("logits", "hidden")
    torch.testing.assert_close(lowered.runtime(x), lowered.program({}, x))


def leaf() -> dict:
    return {"type": None, "context": None, "children_spec": []}


@pytest.mark.parametrize(
    "structure",
    [
        "",
        "[1]",
        "not JSON",
        "[" * 10_000,
        json.dumps([1, {"type": "builtins.tuple", "context": "null", "children_spec": [leaf()]}]),
        json.dumps([1, {"type": "builtins.dict", "context": '["a\\u0000", "a"]', "children_spec": [leaf(), leaf()]}]),
        json.dumps([1, {"type": "builtins.dict", "context": "[1, 2]", "children_spec": [leaf(), leaf()]}]),
        json.dumps([1, {"type": "builtins.dict", "context": '["a", "a"]', "children_spec": [leaf(), leaf()]}]),
        json.dumps([1, {"type": "builtins.tuple", "context": {}, "children_spec": 3}]),
    ],
    ids=range(9),
)
def test_a_structure_that_makes_no_sense_gives_numbers(structure: str) -> None:
    assert output_names(structure, {}, 2) == ("output_0", "output_1")


def test_an_output_is_chosen_by_its_name() -> None:
    model = load_model(exported(*build("dict_output")))
    assert model.program.outputs == ("logits", "states.0", "states.1")
    chosen = model.select("states.1", None, cut_softmax=False)
    x = build("dict_output")[1][0]
    hidden = build("dict_output")[0](x)["states"][0]
    torch.testing.assert_close(chosen.apply(chosen.params, x), hidden.square())
    with pytest.raises(ConfigError):
        model.select("width", None, cut_softmax=False)
