"""Which probe array feeds which input, and what of a probe that does not fit is said."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import eigengate
from eigengate.errors import ModelError, ShapeMismatchError
from eigengate.loading.binding import bind
from eigengate.loading.probe import Probe
from eigengate.loading.program import TensorSpec
from tests.support.scripted_networks import Gathered, Masked, OneHot, Parity
from tests.support.torch_networks import torchscript

F32, F64, I32, I64 = torch.float32, torch.float64, torch.int32, torch.int64
SEQUENCE = (TensorSpec("x", F32, (None, None, 6)), TensorSpec("mask", F32, (None, None)))
NAMES = {"x": ("batch", "seq", None), "mask": ("batch", "seq")}


def probe(**arrays: torch.Tensor) -> Probe:
    return Probe(arrays, None, "0" * 64)


def refusal(specs, arrays, names=None) -> ShapeMismatchError:
    with pytest.raises(ShapeMismatchError) as caught:
        bind(specs, probe(**arrays), names or {})
    assert caught.value.hint
    return caught.value


def test_dimensions_of_one_name_must_have_one_size():
    x, mask = torch.ones(4, 5, 6), torch.ones(4, 7)
    error = refusal(SEQUENCE, {"x": x, "mask": mask}, NAMES)
    assert error.detail == "dimension 'seq' is 5 in input 'x' [batch, seq, 6] and 7 in input 'mask' [batch, seq]"
    assert bind(SEQUENCE, probe(x=x, mask=mask[:, :5]), NAMES).inputs[1].shape == (4, 5)


def test_dimensions_of_one_name_agree_within_an_input_too():
    square = (TensorSpec("a", F32, (None, None, None)),)
    assert (
        "dimension 'k' is 3 in input 'a'" in refusal(square, {"a": torch.ones(2, 3, 4)}, {"a": ("n", "k", "k")}).detail
    )


def test_the_batch_may_have_another_name_in_every_input():
    names = {"x": ("s0", "seq", None), "mask": ("s1", "seq")}
    assert bind(SEQUENCE, probe(x=torch.ones(4, 5, 6), mask=torch.ones(4, 5)), names).position == 0


def test_a_batch_that_is_another_dimension_too_is_refused():
    """An adjacency matrix [nodes, nodes] has no samples."""
    specs = (TensorSpec("x", F32, (None, 3)), TensorSpec("adjacency", F32, (None, None)))
    names = {"x": ("nodes", None), "adjacency": ("nodes", "nodes")}
    with pytest.raises(
        ModelError, match=r"'adjacency' of shape \[nodes, nodes\] has the batch 'nodes' in two"
    ) as caught:
        bind(specs, probe(x=torch.ones(4, 3), adjacency=torch.ones(4, 4)), names)
    assert caught.value.hint


def test_sizes_that_are_fixed_are_named_as_declared():
    error = refusal(SEQUENCE, {"x": torch.ones(4, 5, 7), "mask": torch.ones(4, 5)}, NAMES)
    assert error.detail == "input 'x' wants shape [batch, seq, 6], the probe holds [n, 5, 7]"


def test_a_scalar_for_all_samples_is_refused():
    specs = (TensorSpec("x", F32, (None, 3)), TensorSpec("temperature", F32, ()))
    error = refusal(specs, {"x": torch.ones(4, 3), "temperature": torch.ones(4)})
    assert "'temperature' is a scalar, one for all samples" in error.detail
    assert "initializer" in error.hint


@pytest.mark.parametrize("first", [None, 1, 4])
def test_a_table_in_place_of_a_batch_is_refused(first):
    specs = (TensorSpec("x", F32, (first, 3)), TensorSpec("table", F32, (10, 2)))
    error = refusal(specs, {"x": torch.ones(10, 3), "table": torch.ones(10, 2)})
    assert "do not share their first dimension, the batch: x: [" in error.detail
    assert "table: [10, 2]" in error.detail


def test_a_batch_of_one_fits_beside_a_free_one():
    specs = (TensorSpec("x", F32, (None, 3)), TensorSpec("mask", F32, (1, 3)))
    assert bind(specs, probe(x=torch.ones(4, 3), mask=torch.ones(4, 3))).inputs[1].shape == (4, 3)


THREE = (TensorSpec("image", F32, (None, 2)), TensorSpec("token", I64, (None,)), TensorSpec("age", F32, (None, 1)))
ARRAYS = {"age": torch.ones(3, 1), "image": torch.zeros(3, 2), "token": torch.arange(3)}


def test_arrays_find_their_inputs_by_name_in_any_order():
    binding = bind(THREE, probe(**ARRAYS))
    assert [tuple(tensor.shape) for tensor in binding.inputs] == [(3, 2), (3,), (3, 1)]
    assert binding.position == 0
    assert [tuple(tensor.shape) for tensor in binding.first(2).inputs] == [(2, 2), (2,), (2, 1)]


def test_the_first_floating_input_is_differentiated():
    assert bind(THREE[1:], probe(token=torch.arange(3), age=torch.ones(3, 1))).position == 1


def test_a_missing_array_is_named():
    error = refusal(THREE, {name: ARRAYS[name] for name in ("age", "image")})
    assert error.detail == "the probe has no array for input 'token'; it has ['age', 'image']"
    assert error.hint == "name the probe's arrays after the model's inputs: ['image', 'token', 'age']"


def test_arrays_that_no_input_takes_are_named():
    error = refusal(THREE, {**ARRAYS, "labels": torch.ones(3), "extra": torch.ones(3)})
    assert (
        "arrays that no input takes: ['extra', 'labels']; the model's inputs are ['image', 'token', 'age']"
        in error.detail
    )
    assert "targets are called 'y'" in error.hint


def test_a_single_array_feeds_a_single_input_whatever_its_name():
    (tensor,) = bind((TensorSpec("input.1", F32),), probe(anything=torch.ones(3, 2))).inputs
    assert tensor.shape == (3, 2)
    assert "no input takes: ['z']" in refusal((TensorSpec("i", F32),), {"x": torch.ones(2), "z": torch.ones(2)}).detail


def test_an_input_with_the_name_of_the_targets_is_explained():
    error = refusal((TensorSpec("x", F32), TensorSpec("y", F32)), {"x": torch.ones(2, 1)})
    assert "'y' are targets" in error.hint


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (torch.tensor([1.5, -2.25], dtype=F64), F32),
        (torch.tensor([2**31 - 1, -(2**31)]), I32),
        (torch.tensor([5, -6], dtype=I32), I64),
        (torch.tensor([0, 255]), torch.uint8),
        (torch.tensor([0, 1]), torch.bool),
        (torch.tensor([True, False]), I64),
        (torch.tensor([0, 255], dtype=torch.uint8), F32),
    ],
)
def test_numbers_that_fit_are_cast(values, wanted):
    (tensor, _) = bind((TensorSpec("a", wanted), TensorSpec("x", F32)), probe(a=values, x=torch.ones(2))).inputs
    assert tensor.dtype is wanted
    assert torch.equal(tensor.double(), values.double())


@pytest.mark.parametrize(
    ("values", "wanted", "message"),
    [
        (torch.tensor([2**31, 0]), I32, "wants int32, -2147483648 to 2147483647, the probe holds 0 to 2147483648"),
        (torch.tensor([-1, 3]), torch.uint8, "wants uint8, 0 to 255, the probe holds -1 to 3"),
        (torch.tensor([-1, 3]), torch.uint64, "the probe holds -1 to 3"),
        (torch.tensor([0, 2]), torch.bool, "wants bool, 0 to 1, the probe holds 0 to 2"),
        (torch.tensor([1.0, 2.0]), I64, "wants int64, the probe holds float32"),
        (torch.tensor([1e39, 2.0], dtype=F64), F32, "wants float32, the probe holds 1e+39"),
    ],
)
def test_numbers_that_would_change_are_refused(values, wanted, message):
    assert message in refusal((TensorSpec("a", wanted), TensorSpec("x", F32)), {"a": values, "x": torch.ones(2)}).detail


def file(inputs, nodes, ir_version=8, **constants):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, dtype, shape) for name, dtype, shape in inputs],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return eigengate.load_model(
        helper.make_model(graph, opset_imports=opset, ir_version=ir_version).SerializeToString()
    )


def test_a_file_gives_its_names_of_dimensions():
    model = file(
        [("x", TensorProto.FLOAT, ["batch", "seq", 6]), ("mask", TensorProto.FLOAT, ["batch", "seq"])],
        [
            helper.make_node("ReduceMean", ["x"], ["m"], axes=[2], keepdims=0),
            helper.make_node("Mul", ["m", "mask"], ["out"]),
        ],
    )
    arrays = probe(x=torch.ones(4, 5, 6), mask=torch.ones(4, 1))
    with pytest.raises(ShapeMismatchError, match="'seq' is 5 in input 'x'"):
        eigengate.audit(model, arrays)


@pytest.mark.parametrize("ir_version", [3, 8])
def test_inputs_with_a_default_stay_constants(ir_version):
    """Before IR version 4 every initialiser is listed among the inputs."""
    model = file(
        [("x", TensorProto.FLOAT, ["n", 3]), ("w", TensorProto.FLOAT, [3, 2])],
        [helper.make_node("MatMul", ["x", "w"], ["out"])],
        ir_version,
        w=np.ones((3, 2), np.float32),
    )
    assert [spec.name for spec in model.inputs] == ["x"]
    x = torch.arange(6.0).reshape(2, 3)
    assert torch.equal(model.apply(model.params, x), model.witness((x,)))
    with pytest.raises(ShapeMismatchError, match=r"no input takes: \['w'\]"):
        bind(model.inputs, probe(x=x, w=torch.ones(2, 2)))


def test_three_inputs_of_an_onnx_file_are_audited_by_name():
    rng = np.random.default_rng(0)
    model = file(
        [
            ("image", TensorProto.FLOAT, ["n", 4]),
            ("token", TensorProto.INT32, ["n"]),
            ("age", TensorProto.DOUBLE, ["n", 1]),
        ],
        [
            helper.make_node("Gather", ["table", "token"], ["looked_up"]),
            helper.make_node("Cast", ["age"], ["small"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["looked_up", "small"], ["scaled"]),
            helper.make_node("MatMul", ["image", "weight"], ["product"]),
            helper.make_node("Add", ["product", "scaled"], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["out"]),
        ],
        table=rng.standard_normal((7, 3), np.float32),
        weight=rng.standard_normal((4, 3), np.float32),
    )  # fmt: skip
    arrays = probe(
        age=torch.rand(6, 1, generator=torch.Generator().manual_seed(0)),
        token=torch.arange(6),
        image=torch.randn(6, 4, generator=torch.Generator().manual_seed(1)),
    )
    config = eigengate.AuditConfig(device="cpu", quantities=("input_jacobian",))
    report = eigengate.audit(model, arrays, config)
    assert report.certificate.passed
    assert [(i.name, i.dtype, i.shape) for i in report.model.inputs] == [
        ("image", "float32", (None, 4)), ("token", "int32", (None,)), ("age", "float64", (None, 1))
    ]  # fmt: skip
    held = {entry.subject for entry in report.coverage if "not differentiated" in entry.note}
    assert held == {"input token", "input age"}
    assert report.probe.shape == (4,)


OPEN = (TensorSpec("x", F32, is_declared=False), TensorSpec("c", F32, is_declared=False))
IMAGE = torch.tensor([[0, 255]], dtype=torch.uint8)


@pytest.mark.parametrize("dtype", [I64, I32, torch.uint8, torch.bool])
def test_whole_numbers_for_an_input_of_unknown_type_stay_what_they_are(dtype):
    values = torch.tensor([1, 0], dtype=dtype)
    binding = bind(OPEN, probe(x=torch.ones(2, 3, dtype=F64), c=values))
    assert [tensor.dtype for tensor in binding.inputs] == [F32, dtype]
    assert torch.equal(binding.inputs[1], values)
    assert binding.position == 0
    assert bind(OPEN[::-1], probe(x=torch.ones(2, 3), c=values)).position == 1


def test_a_lone_image_of_bytes_is_cast():
    (tensor,) = bind(OPEN[:1], probe(x=IMAGE)).inputs
    assert tensor.dtype is F32
    declared = (OPEN[0], TensorSpec("c", F32))
    assert [tensor.dtype for tensor in bind(declared, probe(x=IMAGE, c=IMAGE)).inputs] == [torch.uint8, F32]


def test_several_inputs_of_unknown_type_with_whole_numbers_alone_are_refused():
    error = refusal(OPEN, {"x": IMAGE, "c": torch.ones(1, dtype=I64)})
    assert "does not say the types of the inputs ['x', 'c']" in error.detail
    assert "floating point" in error.hint


@pytest.mark.parametrize("form", ["scripted", "frozen"])
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Parity, torch.tensor([[2**24 + 1], [2**24 + 3], [4]])),
        (OneHot, torch.tensor([0, 2, 1])),
        (Gathered, torch.tensor([[0, 1], [2, 2], [1, 0]])),
        (Masked, torch.tensor([[True, False, True]] * 3)),
    ],
)
def test_a_scripted_network_is_measured_on_whole_numbers_as_they_are(kind, values, form):
    network, x = kind().eval(), torch.linspace(-1, 1, 9).reshape(3, 3)
    model = eigengate.load_model(torchscript(network, x, form))
    arrays = probe(x=x, c=values)
    given = bind(model.inputs, arrays).inputs
    torch.testing.assert_close(model.apply(model.params, *given), network(x, values))
    config = eigengate.AuditConfig(device="cpu", quantities=("input_jacobian",))
    report = eigengate.audit(model, arrays, config)
    assert report.certificate.passed
    assert [info.dtype for info in report.model.inputs] == ["float32", str(values.dtype).removeprefix("torch.")]
