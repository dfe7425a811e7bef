"""Which function a node gets, and how its signature binds it."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper

from eigengate.loading.onnx import OnnxProgram, supported_operators
from eigengate.loading.onnx.graph import Node
from eigengate.loading.onnx.operator_page import operator_page
from eigengate.loading.onnx.registry import CHECKED_OPSET, find_operator, registered_operators
from tests.support.onnx_graphs import graph_model


def node(operator: str, version: int, domain: str = "") -> Node:
    return Node(domain, operator, version, "", ("x",), ("y",))


def since(operator: str, version: int) -> int | None:
    found = find_operator(node(operator, version))
    return found.since if found else None


def test_a_node_falls_through_to_the_newest_function_not_above_its_version() -> None:
    assert [since("Softmax", version) for version in (7, 12, 13, 23)] == [1, 1, 13, 13]
    assert [since("ReduceSum", version) for version in (12, 13)] == [1, 13]
    assert [since("ReduceMean", version) for version in (17, 18)] == [1, 18]
    assert since("Gelu", 19) is None


def test_an_operator_newer_than_what_was_checked_is_unsupported() -> None:
    """So that a future redefinition is never computed by today's meaning."""
    assert onnx.defs.onnx_opset_version() <= CHECKED_OPSET
    assert find_operator(node("Relu", CHECKED_OPSET + 1)) is not None


def test_foreign_domains_do_not_borrow_standard_functions() -> None:
    assert find_operator(node("Relu", 1, "org.example")) is None


def test_the_catalogue_lists_operators_by_domain_with_the_versions_a_model_may_mean() -> None:
    entries = supported_operators()
    assert list(entries) == sorted(entries, key=lambda entry: (entry.domain, entry.name))
    by_name = {entry.qualified: entry for entry in entries}
    assert by_name["ai.onnx::Softmax"].versions == (1, 11, 13)
    assert by_name["ai.onnx::AffineGrid"].versions == (20,)  # run by the body that the standard gives it
    assert not any(entry.domain == "eigengate" for entry in entries)


def test_every_operator_says_what_it_computes() -> None:
    assert [entry.qualified for entry in supported_operators() if not entry.summary.endswith(".")] == []


# onnxruntime keeps one operator of its own in the standard's domain, and knows another before the standard did.
OUTSIDE_THE_STANDARD = {("SimplifiedLayerNormalization", 1), ("LayerNormalization", 1)}


def test_every_declared_version_is_one_the_standard_has() -> None:
    """A typing error in a since-version would silently shift which function a model gets."""
    history: dict[str, set[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            history.setdefault(schema.name, set()).add(schema.since_version)
    ours = {(op.name, op.since) for op in registered_operators() if op.domain == ""}
    assert {(name, since) for name, since in ours if since not in history.get(name, set())} == OUTSIDE_THE_STANDARD


def test_the_page_of_operators_is_current() -> None:
    page = Path(__file__).parents[3] / "docs" / "onnx-operators.md"
    assert page.read_text(encoding="utf-8") == operator_page(), "run `make generate`"


def test_one_softmax_is_two_at_different_opsets() -> None:
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    softmax = helper.make_node("Softmax", ["x"], ["y"], axis=1)
    old, new = (
        OnnxProgram(graph_model([softmax], inputs={"x": [2, 3, 4]}, outputs=["y"], opset=opset))({}, x)[0]
        for opset in (12, 13)
    )
    torch.testing.assert_close(old.sum((1, 2)), torch.ones(2))
    torch.testing.assert_close(new.sum(1), torch.ones(2, 4))


def test_shape_operands_arrive_as_numbers_even_under_a_transform() -> None:
    nodes = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Gather", ["s", "order"], ["t"])]
    nodes.append(helper.make_node("Reshape", ["x", "t"], ["y"]))
    model = graph_model(nodes, inputs={"x": ["a", "b"]}, outputs=["y"], constants={"order": np.array([1, 0])})
    program = OnnxProgram(model)
    batched = torch.func.vmap(lambda x: program({}, x)[0])(torch.zeros(5, 2, 3))
    assert batched.shape == (5, 3, 2)
