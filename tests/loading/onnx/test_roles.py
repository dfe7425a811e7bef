"""Parameters are told from buffers as the network itself tells them, whatever the exporter did to them."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import Tensor, nn

from eigengate.loading.onnx import OnnxProgram, Role, parameter_roles
from eigengate.loading.onnx.declarations import declared_kinds
from eigengate.loading.onnx.positions import Evidence, places
from eigengate.loading.onnx.reader import read_graph
from eigengate.loading.onnx.roles import role_notes
from tests.support.onnx_graphs import graph_model
from tests.support.onnx_models import ZOO, export, exported_architecture
from tests.support.zoo import ARCHITECTURES

both_exporters = pytest.mark.parametrize(("exporter", "opset"), [("torchscript", 17), ("dynamo", 18)])


def elements(program: OnnxProgram) -> int:
    return sum(value.numel() for value in program.parameters.values())


def trained(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def program_of(module: nn.Module, x: Tensor, exporter: str, opset: int) -> OnnxProgram:
    return OnnxProgram(onnx.load_from_string(export(module.eval(), x, exporter, opset)))


@both_exporters
@pytest.mark.parametrize("name", ["residual", "causal_encoder"])
def test_a_fresh_network_keeps_its_parameters_apart(name: str, exporter: str, opset: int) -> None:
    """Ones and zeros of equal length are stored once, running statistics among them."""
    build, inputs = ZOO[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build()
    x = inputs(torch.Generator().manual_seed(0))
    program = program_of(module, x, exporter, opset)
    assert elements(program) == trained(module)
    assert any("equal constant-filled tensors once" in note for note in program.notes)
    torch.testing.assert_close(program(program.parameters, x)[0], module(x).detach(), rtol=1e-5, atol=1e-6)


class TiedLanguageModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(11, 6), nn.Linear(6, 11, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embedding(ids).mean(1))


@both_exporters
def test_tied_weights_count_as_the_exporter_stores_them(exporter: str, opset: int) -> None:
    """The newer exporter folds the transpose of the head away from the table, so that the tie is lost in the file."""
    module = TiedLanguageModel()
    program = program_of(module, torch.zeros(4, 5, dtype=torch.int64), exporter, opset)
    stored = {tuple(value.shape) for value in program.parameters.values()}
    assert (11, 6) in stored
    assert elements(program) in (trained(module), 2 * trained(module))


class Masked(nn.Module):
    """Buffers of every kind beside one scalar parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("causal_mask", torch.full((5, 5), -math.inf).triu(1))
        self.register_buffer("pe", torch.randn(5, 6, generator=torch.Generator().manual_seed(0)))
        self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))
        self.temperature = nn.Parameter(torch.tensor(1.7))
        self.projection = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.projection((x - self.mean) / 0.5 + self.pe)
        scores = self.temperature * (x @ x.transpose(1, 2)) / 2.4 + self.causal_mask
        return (scores.softmax(-1) @ x).mean(1).clamp(-3.0, 3.0)


@both_exporters
def test_masks_tables_and_factors_are_not_trained(exporter: str, opset: int) -> None:
    module = Masked()
    program = program_of(module, torch.randn(4, 5, 6), exporter, opset)
    assert elements(program) == trained(module) == 43
    assert {"temperature", "projection.bias"} <= set(program.parameters)
    assert {"causal_mask", "pe", "mean"} <= set(program.buffers)


@both_exporters
def test_folded_normalisation_is_told(exporter: str, opset: int) -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    module[1].running_mean = torch.tensor([0.3, -0.2])
    program = program_of(module, torch.randn(4, 1, 4, 4), exporter, opset)
    assert any("folded into 1 convolution" in note for note in program.notes)
    # The folded bias takes the place of the normalisation's scale and shift.
    assert elements(program) == trained(module) - 2


@both_exporters
def test_nothing_is_said_of_folding_where_there_was_none(exporter: str, opset: int) -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    assert program_of(module, torch.randn(4, 1, 4, 4), exporter, opset).notes == ()


class Unaffine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.group = nn.LayerNorm(6, elementwise_affine=False), nn.GroupNorm(2, 4, affine=False)
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.group(self.linear(self.layer(x))).mean(1)


@both_exporters
def test_the_ones_and_zeros_of_a_normalisation_without_scale_are_not_trained(exporter: str, opset: int) -> None:
    module = Unaffine()
    program = program_of(module, torch.randn(4, 4, 6), exporter, opset)
    assert elements(program) == trained(module)


@both_exporters
def test_both_factors_of_a_normalised_weight_are_trained(exporter: str, opset: int) -> None:
    module = nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)))
    program = program_of(module, torch.randn(4, 6), exporter, opset)
    # Exporters may fold direction and length into the one weight that they make.
    assert elements(program) in (trained(module), trained(module) - 4)


def test_each_position_has_its_role() -> None:
    weights = {
        "table": np.ones((7, 3), np.float32),
        "w": np.full((3, 4), 2.0, np.float32),
        "b": np.arange(4, dtype=np.float32),
        "scale": np.arange(4, dtype=np.float32),
        "eps": np.array(1e-3, np.float32),
        "two": np.array(2.0, np.float32),
        "lowest": np.array(-1.0, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["x"], ["ids"], to=onnx.TensorProto.INT64),
        helper.make_node("Gather", ["table", "ids"], ["embedded"]),
        helper.make_node("Identity", ["w"], ["w_alias"]),
        helper.make_node("Transpose", ["w_alias"], ["wt"]),
        helper.make_node("Transpose", ["wt"], ["w_again"]),
        helper.make_node("MatMul", ["embedded", "w_again"], ["h"]),
        helper.make_node("Add", ["h", "b"], ["h1"]),
        helper.make_node("Mul", ["h1", "scale"], ["h2"]),
        helper.make_node("Pow", ["h2", "two"], ["h3"]),
        helper.make_node("Add", ["h3", "eps"], ["h4"]),
        helper.make_node("Clip", ["h4", "lowest"], ["y"]),
    ]
    model = graph_model(nodes, inputs={"x": ["n"]}, outputs=["y"], constants=weights)
    roles = parameter_roles(read_graph(model))
    assert roles == {
        "table": Role.EMBEDDING,
        "w": Role.WEIGHT,
        "b": Role.BIAS,
        "scale": Role.SCALE,
        "eps": Role.BIAS,  # a named scalar may well be trained; only names made up by exporters tell otherwise
        "two": Role.BUFFER,
        "lowest": Role.BUFFER,
    }


def test_a_literal_weight_is_trained_and_a_literal_factor_is_not() -> None:
    weight = helper.make_tensor("value", onnx.TensorProto.FLOAT, [2, 2], [1.0, 2.0, 3.0, 4.0])
    factor = helper.make_tensor("value", onnx.TensorProto.FLOAT, [2], [0.5, 0.25])
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weight),
        helper.make_node("Constant", [], ["c"], value=factor),
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Mul", ["h", "c"], ["y"]),
    ]
    program = OnnxProgram(graph_model(nodes, inputs={"x": ["n", 2]}, outputs=["y"]))
    assert set(program.parameters) == {"w"}
    assert set(program.buffers) == {"c"}


def roles_in(
    nodes: Sequence[onnx.NodeProto], constants: Mapping[str, np.ndarray], domains: Sequence[str] = ()
) -> dict[str, Role]:
    model = graph_model(nodes, inputs={"x": ["n", 4]}, outputs=["y"], constants=constants, domains=domains)
    return parameter_roles(read_graph(model))


def numbers(*shape: int) -> np.ndarray:
    return np.linspace(0.1, 0.9, math.prod(shape), dtype=np.float32).reshape(shape)


# Taken together in every fresh network; separately initialised in a trained one.
UNFOLDED = [
    name for name, member in ARCHITECTURES.items() if "torchscript" not in member.folded and not member.scripted
]


@pytest.mark.parametrize("name", UNFOLDED)
def test_a_fresh_architecture_keeps_its_parameters_apart(name: str) -> None:
    """Scales of one, shifts, tokens and states of zero: the older exporter stores equal ones once."""
    member = ARCHITECTURES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = member.build().eval()
    inputs = member.inputs(torch.Generator().manual_seed(0))
    program = OnnxProgram(onnx.load_from_string(export(module, inputs, "torchscript", member.torchscript[0])))
    assert elements(program) == trained(module)


@pytest.mark.parametrize(
    ("operator", "roles"),
    [
        ("FusedMatMul", {0: Role.WEIGHT, 1: Role.WEIGHT}),
        ("FusedConv", {1: Role.WEIGHT, 2: Role.BIAS}),
        ("BiasGelu", {1: Role.BIAS}),
        ("SkipLayerNormalization", {2: Role.SCALE, 3: Role.BIAS, 4: Role.BIAS}),
        ("SkipSimplifiedLayerNormalization", {2: Role.SCALE, 3: Role.BIAS}),
        ("EmbedLayerNormalization", {2: Role.EMBEDDING, 3: Role.EMBEDDING, 4: Role.EMBEDDING, 5: Role.SCALE}),
        ("Attention", {1: Role.WEIGHT, 2: Role.BIAS}),
        ("MultiHeadAttention", {3: Role.BIAS}),
        ("GroupNorm", {1: Role.SCALE, 2: Role.BIAS}),
    ],
)
def test_an_operator_of_another_domain_has_places_of_its_own(operator: str, roles: Mapping[int, Role]) -> None:
    found = places("com.microsoft", operator)
    assert {position: found[position].role for position in roles} == roles
    assert all(found[position].evidence >= Evidence.GOOD for position in roles)
    assert places("somewhere.else", operator) == {}


def test_operands_of_an_operator_of_another_domain_have_their_roles() -> None:
    node = helper.make_node("SkipLayerNormalization", ["x", "x", "gamma", "beta", "b"], ["y"], domain="com.microsoft")
    constants = {"gamma": numbers(4), "beta": numbers(4), "b": numbers(4)}
    assert roles_in([node], constants, ["com.microsoft"]) == {
        "gamma": Role.SCALE,
        "beta": Role.BIAS,
        "b": Role.BIAS,
    }


@pytest.mark.parametrize(
    ("values", "role"),
    [
        (np.array([0.0, 1.0, 1.0, 0.0], np.float32), Role.BUFFER),
        (np.array([0.0, -100.0, 0.0, -100.0], np.float32), Role.BUFFER),
        (np.array([0.0, -np.inf, 0.0, 0.0], np.float32), Role.BUFFER),
        (np.array([0.0, -3.0, 0.0, -3.0], np.float32), Role.BIAS),
        (numbers(4), Role.BIAS),
    ],
)
def test_what_only_switches_on_and_off_is_no_bias(values: np.ndarray, role: Role) -> None:
    assert roles_in([helper.make_node("Add", ["x", "onnx::Add_7"], ["y"])], {"onnx::Add_7": values}) == {
        "onnx::Add_7": role
    }


def test_no_derivative_no_parameter() -> None:
    """The triangle decides where attention is cut off, by way of a comparison: it has no derivative."""
    nodes = [
        helper.make_node("Slice", ["triangle", "start", "end"], ["cut"]),
        helper.make_node("Equal", ["cut", "zero"], ["masked"]),
        helper.make_node("Where", ["masked", "lowest", "x"], ["y"]),
    ]
    constants = {
        "triangle": numbers(4, 4),
        "start": np.array([0], np.int64),
        "end": np.array([3], np.int64),
        "zero": np.array(0.0, np.float32),
        "lowest": np.array(-np.inf, np.float32),
    }
    assert set(roles_in(nodes, constants).values()) == {Role.BUFFER}


def test_subtraction_and_division_train_only_what_the_network_named() -> None:
    nodes = [
        helper.make_node("Sub", ["x", "onnx::Sub_3"], ["centred"]),
        helper.make_node("Div", ["centred", "pixel_std"], ["normalised"]),
        helper.make_node("Sub", ["normalised", "threshold"], ["shifted"]),
        helper.make_node("Div", ["shifted", "temperature"], ["y"]),
    ]
    constants = {name: numbers(4) for name in ("onnx::Sub_3", "pixel_std", "threshold", "temperature")}
    assert roles_in(nodes, constants) == {
        "onnx::Sub_3": Role.BUFFER,
        "pixel_std": Role.BUFFER,
        "threshold": Role.BIAS,
        "temperature": Role.SCALE,
    }


def test_initial_states_are_trained_unless_an_exporter_filled_them_in() -> None:
    weights = {"w": numbers(1, 3, 4), "r": numbers(1, 3, 3)}
    for name, state, role in (
        ("h0", numbers(1, 2, 3), Role.EMBEDDING),
        ("onnx::RNN_9", numbers(1, 2, 3), Role.EMBEDDING),
        ("/rnn/Constant_output_0", np.zeros((1, 2, 3), np.float32), Role.BUFFER),
    ):
        nodes = [
            helper.make_node("Unsqueeze", ["x", "axis"], ["sequence"]),
            helper.make_node("RNN", ["sequence", "w", "r", "", "", name], ["", "y"], hidden_size=3),
        ]
        constants = {**weights, "axis": np.array([0], np.int64), name: state}
        assert roles_in(nodes, constants) == {"w": Role.WEIGHT, "r": Role.WEIGHT, name: role}


def test_a_parameter_that_meets_data_in_a_loop_is_trained() -> None:
    """Captured by the body, or handed in as the state that the loop starts from."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["next"]),
            helper.make_node("Identity", ["going"], ["still"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("going", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", onnx.TensorProto.FLOAT, [None, None]),
        ],
        [
            helper.make_tensor_value_info("still", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", onnx.TensorProto.FLOAT, [None, None]),
        ],
    )
    nodes = [
        helper.make_node("Loop", ["count", "", "start"], ["last"], body=body),
        helper.make_node("Add", ["x", "last"], ["y"]),
    ]
    constants = {"count": np.array(3, np.int64), "start": numbers(1, 4), "w": numbers(4, 4)}
    roles = roles_in(nodes, constants)
    assert roles["w"] is Role.WEIGHT
    assert roles["start"] is Role.EMBEDDING


def test_both_factors_of_a_product_of_parameters_are_trained() -> None:
    nodes = [
        helper.make_node("MatMul", ["query", "onnx::MatMul_5"], ["projected"]),
        helper.make_node("Add", ["projected", "onnx::Add_6"], ["shifted"]),
        helper.make_node("MatMul", ["x", "shifted"], ["y"]),
    ]
    constants = {"query": numbers(4, 3), "onnx::MatMul_5": numbers(3, 2), "onnx::Add_6": numbers(2)}
    assert roles_in(nodes, constants) == {
        "query": Role.WEIGHT,
        "onnx::MatMul_5": Role.WEIGHT,
        "onnx::Add_6": Role.BIAS,
    }


def test_what_the_file_leaves_open_is_said() -> None:
    model = graph_model(
        [
            helper.make_node("MatMul", ["adjacency", "x"], ["mixed"]),
            helper.make_node("MatMul", ["mixed", "layer.weight"], ["h"]),
            helper.make_node("Add", ["h", "prototypes"], ["y"]),
        ],
        inputs={"x": [4, 4]},
        outputs=["y"],
        constants={"adjacency": numbers(4, 4), "layer.weight": numbers(4, 4), "prototypes": numbers(4)},
    )
    counted, fixed = role_notes(read_graph(model))
    assert "'prototypes'" in counted
    assert "counted as parameters" in counted
    assert "'adjacency'" in fixed
    assert "held fixed" in fixed
    assert "layer.weight" not in counted + fixed


def test_nothing_is_said_of_a_network_with_the_usual_names() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    data = export(module.eval(), torch.randn(4, 1, 4, 4), "torchscript", 17)
    assert role_notes(read_graph(onnx.load_from_string(data))) == ()


def test_what_was_computed_from_a_parameter_is_declared_one_and_what_was_not_is_not() -> None:
    """Window attention: tables looked up in advance beside a mask, both unnamed and both added to the scores."""
    graph = onnx.load_from_string(exported_architecture("swin", "dynamo", 20)).graph
    kinds = declared_kinds(graph)
    stored = {initializer.name for initializer in graph.initializer}
    assert {name: kinds[name] for name in ("unsqueeze", "unsqueeze_1", "unsqueeze_3")} == {
        "unsqueeze": "PARAMETER",
        "unsqueeze_1": "PARAMETER",
        "unsqueeze_3": "CONSTANT_TENSOR",
    }
    assert stored >= {"unsqueeze", "unsqueeze_1", "unsqueeze_3"}
    assert kinds["blocks.1.attn.relative_position_index"] == "BUFFER"


def test_an_exporters_declaration_comes_before_everything_else() -> None:
    """By name, value and place each of these would be judged the other way."""
    model = graph_model(
        [helper.make_node("Max", ["x", "mean"], ["h"]), helper.make_node("MatMul", ["h", "layer.weight"], ["y"])],
        inputs={"x": ["n", 4]},
        outputs=["y"],
        constants={"mean": numbers(4), "layer.weight": numbers(4, 4)},
    )
    for initializer, kind in zip(model.graph.initializer, ("PARAMETER", "BUFFER"), strict=True):
        initializer.metadata_props.add(key="pkg.torch.export.graph_signature.InputSpec.kind", value=kind)
    assert parameter_roles(read_graph(model)) == {"mean": Role.BIAS, "layer.weight": Role.BUFFER}


@pytest.mark.parametrize("text", ["[1, 'w'", "{'w': 1}", "[" * 10_000, "['w', 3]"])
def test_a_remark_that_no_exporter_wrote_does_no_harm(text: str) -> None:
    model = graph_model(
        [helper.make_node("MatMul", ["x", "v"], ["y"])],
        inputs={"x": ["n", 2]},
        outputs=["y"],
        constants={"v": numbers(2, 2)},
    )
    model.graph.initializer[0].metadata_props.add(key="pkg.onnxscript.optimizer.folded_from", value=text)
    assert declared_kinds(model.graph) == {}
    assert set(OnnxProgram(model).parameters) == {"v"}


@both_exporters
def test_a_folded_linear_layer_is_told_where_it_is_folded(exporter: str, opset: int) -> None:
    """The older exporter leaves normalisation behind a linear layer as it is."""
    module = nn.Sequential(nn.Linear(4, 5, bias=False), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    module[1].running_mean = torch.linspace(-1, 1, 5)
    program = program_of(module, torch.randn(4, 4), exporter, opset)
    folded = [note for note in program.notes if "folded into 1 linear layer" in note]
    assert len(folded) == (exporter == "dynamo")
    assert elements(program) == trained(module) - (5 if folded else 0)


@both_exporters
def test_a_folded_transposed_convolution_is_told_where_it_is_folded(exporter: str, opset: int) -> None:
    module = nn.Sequential(nn.ConvTranspose2d(1, 2, 2, bias=False), nn.BatchNorm2d(2))
    module[1].running_mean = torch.tensor([0.3, -0.2])
    program = program_of(module, torch.randn(4, 1, 3, 3), exporter, opset)
    folded = [note for note in program.notes if "folded into 1 convolution" in note]
    assert len(folded) == (exporter == "dynamo")
    assert elements(program) == trained(module) - (2 if folded else 0)


@both_exporters
def test_a_normalised_weight_is_no_folded_normalisation(exporter: str, opset: int) -> None:
    module = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 3, 2)), nn.ReLU())
    program = program_of(module, torch.randn(4, 2, 5), exporter, opset)
    (note,) = program.notes
    assert "1 stored tensor(s) were computed in advance" in note
