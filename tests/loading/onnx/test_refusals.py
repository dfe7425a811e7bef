"""What is turned away, with what words, before anything runs."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from eigengate.errors import ModelError, ModelLoadError, QuantizedModelError, UnsupportedOperatorError
from eigengate.loading.onnx import read_onnx
from tests.support.onnx_graphs import graph_model
from tests.support.onnx_models import exported

relu = helper.make_node("Relu", ["x"], ["y"], name="only")


def small(**changes: object) -> onnx.ModelProto:
    return graph_model([relu], inputs={"x": [None, 3]}, outputs=["y"], **changes)


def test_a_small_model_is_read() -> None:
    assert read_onnx(small().SerializeToString()).program.operators == ("ai.onnx::Relu",)


def external(name: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.ones(3, np.float32), name)
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return tensor


def hidden_in_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(external("stolen"))


def hidden_in_sparse_initializer(model: onnx.ModelProto) -> None:
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(external("stolen"))


def hidden_in_attribute(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=external("stolen")))


def hidden_in_subgraph(model: onnx.ModelProto) -> None:
    branch = helper.make_graph([], "branch", [], [], [external("stolen")])
    model.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=branch, else_branch=branch))


def hidden_in_function(model: onnx.ModelProto) -> None:
    constant = helper.make_node("Constant", [], ["c"], value=external("stolen"))
    function = helper.make_function("local", "F", [], ["c"], [constant], [helper.make_opsetid("", 18)])
    model.functions.append(function)


@pytest.mark.parametrize(
    "hide",
    [
        hidden_in_initializer,
        hidden_in_sparse_initializer,
        hidden_in_attribute,
        hidden_in_subgraph,
        hidden_in_function,
    ],
)
def test_external_data_is_refused_wherever_it_hides(hide: object) -> None:
    model = small()
    hide(model)
    with pytest.raises(ModelLoadError, match="'stolen' keeps its data outside") as caught:
        read_onnx(model.SerializeToString())
    assert "zip bundle.zip model.onnx and its data files" in caught.value.hint  # a path like this is not repeated


@pytest.mark.parametrize("opset", [1, 6, 99])
def test_foreign_opsets_are_refused(opset: int) -> None:
    with pytest.raises(ModelLoadError, match=f"uses opset {opset}"):
        read_onnx(small(opset=opset).SerializeToString())


@pytest.mark.parametrize(
    ("operator", "domain"),
    [
        ("QuantizeLinear", ""),
        ("DequantizeLinear", ""),
        ("DynamicQuantizeLinear", ""),
        ("QLinearConv", ""),
        ("ConvInteger", ""),
        ("MatMulInteger", ""),
        ("MatMulNBits", "com.microsoft"),
        ("QLinearAdd", "com.microsoft"),
        ("QAttention", "com.microsoft"),
    ],
)
def test_quantised_graphs_are_refused(operator: str, domain: str) -> None:
    node = helper.make_node(operator, ["x", "x", "x"], ["y"], domain=domain)
    model = graph_model([node], inputs={"x": [3]}, outputs=["y"], domains=[domain] if domain else [])
    with pytest.raises(QuantizedModelError, match=operator) as caught:
        read_onnx(model.SerializeToString())
    assert caught.value.context == {"operators": [operator]}


def test_all_unsupported_nodes_are_listed_at_once() -> None:
    nodes = [
        helper.make_node("Frobnicate", ["x"], ["a"], name="first", domain="org.example"),
        helper.make_node("RandomNormal", [], ["b"], name="second", shape=[3]),
        helper.make_node("Relu", ["a"], ["c"], name="third", slope=2.0),
    ]
    model = graph_model(nodes, inputs={"x": [3]}, outputs=["c"], domains=["org.example"])
    with pytest.raises(UnsupportedOperatorError, match="3 node") as caught:
        read_onnx(model.SerializeToString())
    assert caught.value.context["nodes"] == [
        {
            "name": "first",
            "operator": "Frobnicate",
            "domain": "org.example",
            "version": 1,
            "reason": "operator is not supported",
        },
        {
            "name": "second",
            "operator": "RandomNormal",
            "domain": "ai.onnx",
            "version": 18,
            "reason": "operator is refused: it draws random numbers, so that no two calls compute the same function",
        },
        {
            "name": "third",
            "operator": "Relu",
            "domain": "ai.onnx",
            "version": 18,
            "reason": "attribute slope is not supported",
        },
    ]


def test_unsupported_nodes_inside_branches_are_listed_too() -> None:
    body = helper.make_graph(
        [helper.make_node("RandomNormal", [], ["r"], name="inside", shape=[3])],
        "body",
        [],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, [3])],
    )
    node = helper.make_node("If", ["flag"], ["y"], then_branch=body, else_branch=body)
    model = graph_model([node], inputs={"x": [3]}, outputs=["y"], constants={"flag": np.array(True)})
    with pytest.raises(UnsupportedOperatorError, match="RandomNormal"):
        read_onnx(model.SerializeToString())


def test_a_value_that_nothing_makes_is_a_load_error() -> None:
    model = graph_model([helper.make_node("Relu", ["ghost"], ["y"])], inputs={"x": [3]}, outputs=["y"])
    with pytest.raises(ModelLoadError, match="reads 'ghost', which nothing makes"):
        read_onnx(model.SerializeToString())


def test_an_output_that_nothing_makes_is_a_load_error() -> None:
    model = graph_model([relu], inputs={"x": [3]}, outputs=["ghost"])
    with pytest.raises(ModelLoadError, match="nothing makes the output 'ghost'"):
        read_onnx(model.SerializeToString())


def test_a_tensor_shorter_than_its_shape_is_a_load_error() -> None:
    model = small()
    model.graph.initializer.append(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1000], raw_data=b"1234"))
    with pytest.raises(ModelLoadError, match="'w' cannot be read"):
        read_onnx(model.SerializeToString())


def test_names_that_are_no_text_are_a_load_error() -> None:
    data = small().SerializeToString().replace(b"only", b"\xff\xfe\xfd\xfc")
    with pytest.raises(ModelLoadError, match="no UTF-8 text"):
        read_onnx(data)


def test_a_node_without_its_operands_is_unsupported() -> None:
    model = graph_model([helper.make_node("MatMul", ["x"], ["y"])], inputs={"x": [3]}, outputs=["y"])
    with pytest.raises(UnsupportedOperatorError, match="2 inputs are needed"):
        read_onnx(model.SerializeToString())


def test_text_is_refused() -> None:
    model = small()
    model.graph.initializer.append(helper.make_tensor("words", TensorProto.STRING, [1], [b"hello"]))
    with pytest.raises(ModelLoadError, match="element type STRING"):
        read_onnx(model.SerializeToString())


def test_damaged_files_end_in_our_own_errors() -> None:
    """Cut short or with one byte changed, a file either loads or is refused, but nothing else is ever raised."""
    whole = exported("lenet", "torchscript", 17)
    damaged = [whole[:length] for length in range(0, len(whole), 331)]
    positions = range(0, len(whole), 97)
    damaged += [whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :] for i in positions]
    outcomes = set()
    for data in damaged:
        try:
            read_onnx(data)
            outcomes.add("loaded")
        except ModelError:
            outcomes.add("refused")
    assert outcomes == {"loaded", "refused"}


def test_nodes_of_onnxruntimes_own_domain_need_no_import() -> None:
    """Its optimisers leave it out, and onnxruntime runs such files."""
    model = graph_model(
        [helper.make_node("QuickGelu", ["x"], ["y"], domain="com.microsoft")], inputs={"x": [None, 3]}, outputs=["y"]
    )
    assert read_onnx(model.SerializeToString()).program.operators == ("com.microsoft::QuickGelu",)


@pytest.mark.parametrize(
    ("operator", "domain", "why"),
    [
        ("StringNormalizer", "", "works on text"),
        ("ImageDecoder", "", "decodes image files"),
        ("Adam", "ai.onnx.preview.training", "training operator"),
        ("TreeEnsemble", "ai.onnx.ml", "no derivative"),
    ],
)
def test_text_images_and_training_are_refused_by_name(operator: str, domain: str, why: str) -> None:
    node = helper.make_node(operator, ["x"], ["y"], domain=domain)
    model = graph_model([node], inputs={"x": [3]}, outputs=["y"], domains=[domain] if domain else [], opset=20)
    with pytest.raises(UnsupportedOperatorError, match=f"{operator}.*refused.*{why}"):
        read_onnx(model.SerializeToString())
