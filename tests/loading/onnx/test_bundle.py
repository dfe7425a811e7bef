"""ONNX models that keep their numbers in files beside them, and come with those files in one archive."""

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import eigengate
from eigengate.errors import ModelError, ModelLoadError, UnsupportedFormatError
from eigengate.loading.onnx import bundle, read_onnx
from eigengate.loading.onnx.lowering import read_onnx_bundle
from tests.support.bundles import apart, tarred, zipped
from tests.support.onnx_graphs import graph_model
from tests.support.onnx_models import exported, network

PACKERS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "zip, stored": lambda files: zipped(files, zipfile.ZIP_STORED),
    "zip, deflated": zipped,
    "tar": tarred,
    "tar, gnu": lambda files: tarred(files, layout=tarfile.GNU_FORMAT),
    "tar.gz": lambda files: tarred(files, "w:gz"),
}
WEIGHT = np.arange(12, dtype=np.float32).reshape(3, 4)


def inside(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": content for name, content in files.items()}


def external(name: str, value: np.ndarray, location: str = "w.bin", **said: object) -> TensorProto:
    """A tensor that says where its numbers lie."""
    tensor = numpy_helper.from_array(value, name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in {"location": location, **said}.items():
        tensor.external_data.add(key=key, value=str(text))
    return tensor


def multiplying(tensor: TensorProto, *more: onnx.NodeProto) -> onnx.ModelProto:
    model = graph_model([helper.make_node("MatMul", ["x", "w"], ["y"]), *more], inputs={"x": ["n", 3]}, outputs=["y"])
    model.graph.initializer.append(tensor)
    return model


def packed(tensor: TensorProto, **files: bytes) -> bytes:
    return zipped({"model.onnx": multiplying(tensor).SerializeToString(), "w.bin": WEIGHT.tobytes(), **files})


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
@pytest.mark.parametrize("one_file", [True, False], ids=["one data file", "a file for every tensor"])
@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_a_bundle_computes_what_the_whole_model_does(exporter, one_file, pack):
    whole, x = exported("residual", exporter, 18), network("residual")[1]
    files = apart(whole, all_tensors_to_one_file=one_file)
    assert len(files) == 2 if one_file else len(files) > 5
    ours, theirs = read_onnx_bundle(pack(inside("some/folder", files))), read_onnx(whole)
    assert ours.program.parameters.keys() == theirs.program.parameters.keys()
    expected = theirs.program(theirs.program.parameters, x)[0]
    assert torch.equal(ours.program(ours.program.parameters, x)[0], expected)
    assert torch.equal(ours.runtime(x)[0], theirs.runtime(x)[0])


def test_large_weights_reach_onnxruntime_beside_the_model(monkeypatch):
    """As they must where model and weights together are more than a protobuf message can hold; here it holds little."""
    monkeypatch.setattr(bundle, "LARGEST_MESSAGE", 4000)
    whole = graph_model(
        [
            helper.make_node("Cast", ["half"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", ["x", "w"], ["h"]),
            helper.make_node("Add", ["h", "wide"], ["a"]),
            helper.make_node("Tanh", ["a"], ["y"]),
        ],
        inputs={"x": ["n", 30]},
        outputs=["y"],
        constants={
            "w": np.sin(np.arange(900, dtype=np.float32)).reshape(30, 30),
            "half": np.ones((30, 30), np.float16),
        },
    )
    files = apart(whole.SerializeToString())
    assert len(files["model.onnx"]) < 1000
    ours, x = read_onnx_bundle(zipped(files)), torch.linspace(-1, 1, 900).reshape(30, 30)
    names = [name for name, _ in ours.program.watch(ours.program.parameters, x)]
    witnessed = ours.runtime.values(names, x)
    assert set(witnessed) >= {"h", "y"}
    theirs = read_onnx(whole.SerializeToString()).runtime
    assert all(torch.equal(witnessed[name], value) for name, value in theirs.values(names, x).items())
    assert torch.equal(ours.runtime(x)[0], theirs(x)[0])


def test_what_must_stay_inside_the_model_is_limited(monkeypatch):
    monkeypatch.setattr(bundle, "LARGEST_MESSAGE", 4000)
    constant = helper.make_node("Constant", [], ["c"], value=external("c", np.zeros(2000, np.float32), "c.bin"))
    model = multiplying(numpy_helper.from_array(WEIGHT, "w"), constant)
    with pytest.raises(ModelLoadError, match="more than 4,000 bytes of numbers stand in constants"):
        read_onnx_bundle(zipped({"m": model.SerializeToString(), "c.bin": bytes(8000)}))


def test_a_model_file_beyond_the_limit_of_the_format_is_told_to_come_as_a_bundle(monkeypatch):
    data = exported("mlp", "torchscript", 17)
    monkeypatch.setattr("eigengate.loading.onnx.lowering.LARGEST_MESSAGE", len(data) - 1)
    with pytest.raises(ModelLoadError, match="more than the") as caught:
        read_onnx(data)
    assert "save_as_external_data=True" in caught.value.hint


def in_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(external("hidden", WEIGHT))


def in_sparse_initializer(model: onnx.ModelProto) -> None:
    sparse = model.graph.sparse_initializer.add(dims=[4, 4])
    sparse.values.CopyFrom(external("hidden", WEIGHT[0]))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.arange(4), "where"))


def in_attribute(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Constant", [], ["hidden"], value=external("t", WEIGHT)))


def in_branches(model: onnx.ModelProto) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["out"])],
        "body",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [3, 4])],
        [external("inner", WEIGHT)],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.insert(0, helper.make_node("If", ["yes"], ["hidden"], then_branch=body, else_branch=body))


def in_function(model: onnx.ModelProto) -> None:
    constant = helper.make_node("Constant", [], ["c"], value=external("t", WEIGHT))
    model.functions.append(helper.make_function("local", "F", [], ["c"], [constant], [helper.make_opsetid("", 18)]))
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.graph.node.insert(0, helper.make_node("F", [], ["hidden"], domain="local"))


@pytest.mark.parametrize("hide", [in_initializer, in_sparse_initializer, in_attribute, in_branches, in_function])
def test_external_numbers_are_found_wherever_they_hide(hide):
    axes = {"starts": np.array([0, 0]), "ends": np.array([1, 4])}
    nodes = [
        helper.make_node("Slice", ["hidden", "starts", "ends"], ["row"]),
        helper.make_node("Add", ["x", "row"], ["y"]),
    ]
    model = graph_model(nodes, inputs={"x": ["n", 4]}, outputs=["y"], constants=axes)
    hide(model)
    lowered = read_onnx_bundle(tarred({"model.onnx": model.SerializeToString(), "w.bin": WEIGHT.tobytes()}))
    expected = torch.zeros(2, 4) + (
        torch.tensor([0.0, 1, 2, 3]) if hide is not in_sparse_initializer else expected_row()
    )
    assert torch.equal(lowered.program(lowered.program.parameters, torch.zeros(2, 4))[0], expected)
    assert torch.equal(lowered.runtime(torch.zeros(2, 4))[0], expected)


def expected_row() -> torch.Tensor:
    """The first row of the sparse matrix: its four values stand in its first four places."""
    return torch.tensor(WEIGHT[0])


def test_the_uploaded_model_is_not_changed():
    model = multiplying(external("w", WEIGHT))
    before = model.SerializeToString()
    opened = bundle.open_bundle(packed(external("w", WEIGHT)))
    assert opened.whole(model).graph.initializer[0].raw_data == WEIGHT.tobytes()
    opened.parted(model)
    assert model.SerializeToString() == before


def weight_of(archive: bytes) -> np.ndarray:
    return read_onnx_bundle(archive).program.parameters["w"].numpy()


def test_tensors_may_lie_anywhere_in_a_file_and_share_bytes():
    tensor = external("w", WEIGHT, offset=8, length=48)
    model = multiplying(tensor)
    model.graph.initializer.append(external("b", WEIGHT[0], offset=8))
    model.graph.node.append(helper.make_node("Add", ["y", "b"], ["z"]))
    model.graph.output[0].name = "z"
    files = {"model.onnx": model.SerializeToString(), "w.bin": b"12345678" + WEIGHT.tobytes() + b"rest"}
    lowered = read_onnx_bundle(zipped(files))
    assert np.array_equal(lowered.program.parameters["w"].numpy(), WEIGHT)
    assert np.array_equal(lowered.program.parameters["b"].numpy(), WEIGHT[0])


def test_the_bytes_that_tensors_share_are_limited_too(monkeypatch):
    """A small file that a million tensors read would fill the memory."""
    monkeypatch.setattr(bundle, "MAX_UNPACKED_BYTES", 2000)
    model = multiplying(external("w", WEIGHT))
    model.graph.initializer.extend(external(f"w{k}", WEIGHT) for k in range(50))
    with pytest.raises(ModelLoadError, match="tensors take more than 2,000 bytes"):
        read_onnx_bundle(tarred({"model.onnx": model.SerializeToString(), "w.bin": WEIGHT.tobytes()}))


@pytest.mark.parametrize("location", ["./w.bin", "w.bin", ".//w.bin"])
def test_locations_are_relative_to_the_model(location):
    files = {"model.onnx": multiplying(external("w", WEIGHT, location)).SerializeToString(), "w.bin": WEIGHT.tobytes()}
    assert np.array_equal(weight_of(zipped(inside("a/b", files) | {"w.bin": b"another"})), WEIGHT)


def test_a_checksum_that_is_right_is_accepted():
    digest = hashlib.sha1(WEIGHT.tobytes()).hexdigest()
    assert np.array_equal(weight_of(packed(external("w", WEIGHT, checksum=digest.upper()))), WEIGHT)


def test_files_that_no_tensor_wants_are_left_alone():
    archive = packed(external("w", WEIGHT), **{"README.md": b"# A model", "test_data/input_0.pb": b"\x08\x03\x10\x01"})
    assert np.array_equal(weight_of(archive), WEIGHT)


def test_numbers_smaller_than_a_byte_are_counted_packed():
    for data_type, size in ((TensorProto.INT4, 3), (TensorProto.UINT2, 2), (TensorProto.FLOAT16, 10)):
        tensor = TensorProto(name="q", data_type=data_type, dims=[5])
        assert bundle.stored_bytes(tensor) == size


REFUSALS = {
    "absolute": (external("w", WEIGHT, "/etc/passwd"), "'/etc/passwd', which is no path inside the bundle"),
    "climbing": (external("w", WEIGHT, "../w.bin"), "no path inside"),
    "climbing and back": (external("w", WEIGHT, "x/../w.bin"), "no path inside"),
    "backslash": (external("w", WEIGHT, "x\\w.bin"), "no path inside"),
    "zero byte": (external("w", WEIGHT, "w.bin\0.txt"), "no path inside"),
    "empty": (external("w", WEIGHT, ""), "no path inside"),
    "memory": (external("w", WEIGHT, "*/_ORT_MEM_ADDR_/*", offset=4096), "not in the bundle; .*'w.bin'"),
    "process": (external("w", WEIGHT, "proc/self/environ"), "'proc/self/environ', which is not in the bundle"),
    "itself": (external("w", WEIGHT, "model.onnx"), "not in the bundle"),
    "our own mark": (external("w", WEIGHT, "in-memory"), "not in the bundle"),
    "another case": (external("w", WEIGHT, "W.BIN"), "not in the bundle"),
    "negative offset": (external("w", WEIGHT, offset=-4), "offset '-4', which is no number"),
    "fractional offset": (external("w", WEIGHT, offset="1e3"), "offset '1e3'"),
    "huge offset": (external("w", WEIGHT, offset=2**63), "from byte 9,223,372,036,854,775,808"),
    "endless offset": (external("w", WEIGHT, offset="9" * 5000), "which is no number"),
    "offset beyond": (external("w", WEIGHT, offset=4), "from byte 4 to 52, but that file has 48"),
    "short length": (external("w", WEIGHT, length=44), "takes 48 bytes, but claims 44"),
    "long length": (external("w", WEIGHT, length=52), "takes 48 bytes, but claims 52"),
    "no length": (external("w", WEIGHT, length=""), "length ''"),
    "wrong checksum": (external("w", WEIGHT, checksum="0" * 40), "SHA-1 digest '0000"),
}  # fmt: skip


@pytest.mark.parametrize(("tensor", "message"), REFUSALS.values(), ids=REFUSALS)
def test_references_that_lead_elsewhere_are_refused(tensor, message):
    with pytest.raises(ModelLoadError, match=message) as caught:
        read_onnx_bundle(packed(tensor))
    assert caught.value.hint


def changed(change: Callable[[TensorProto], object]) -> TensorProto:
    tensor = external("w", WEIGHT)
    change(tensor)
    return tensor


INCONSISTENT = {
    "no location": (changed(lambda t: t.ClearField("external_data")), "says not where"),
    "two locations": (changed(lambda t: t.external_data.add(key="location", value="w.bin")), "says twice"),
    "numbers of its own": (changed(lambda t: setattr(t, "raw_data", WEIGHT.tobytes())), "both inside and outside"),
    "text": (changed(lambda t: setattr(t, "data_type", TensorProto.STRING)), "type STRING cannot lie"),
    "unknown type": (changed(lambda t: setattr(t, "data_type", 99)), "type 99 cannot lie"),
    "negative size": (changed(lambda t: t.dims.append(-1)), r"shape \[3, 4, -1\]"),
    "enormous": (changed(lambda t: t.dims.extend([2**62] * 3)), "but that file has 48"),
}


@pytest.mark.parametrize(("tensor", "message"), INCONSISTENT.values(), ids=INCONSISTENT)
def test_tensors_that_contradict_themselves_are_refused(tensor, message):
    with pytest.raises(ModelLoadError, match=message) as caught:
        read_onnx_bundle(packed(tensor))
    assert caught.value.hint


def test_nothing_is_read_from_the_file_system(tmp_path, monkeypatch):
    """The working directory holds the very file that the tensor names."""
    (tmp_path / "w.bin").write_bytes(WEIGHT.tobytes())
    monkeypatch.chdir(tmp_path)
    model = multiplying(external("w", WEIGHT)).SerializeToString()
    with pytest.raises(
        ModelLoadError, match=r"'w\.bin', which is not in the bundle; beside the model it holds nothing"
    ):
        read_onnx_bundle(zipped({"model.onnx": model}))


def test_the_model_is_found_behind_a_long_description_and_among_lookalikes():
    model = multiplying(external("w", WEIGHT))
    model.doc_string = "words " * 5000
    whole = model.SerializeToString()
    lookalikes = {
        "a": whole[:-1],
        "b": whole + b"\0",
        "c": whole[:5000],
        "d": b"",
        "e": b"\x08\x07",
        "w.bin": WEIGHT.tobytes(),
    }
    assert np.array_equal(weight_of(zipped({**lookalikes, "no.extension": whole})), WEIGHT)


def test_two_models_in_one_bundle_are_refused_by_name():
    model = exported("mlp", "torchscript", 17)
    with pytest.raises(ModelLoadError, match=r"2 ONNX models: 'a\.onnx', 'deep/b'") as caught:
        read_onnx_bundle(zipped({"a.onnx": model, "deep/b": model, "c.bin": b"x"}))
    assert caught.value.hint


STRANGERS = {
    "other files": (zipped({"readme.txt": b"hello", "weights.bin": bytes(99)}), "'readme.txt', 'weights.bin'"),
    "arrays": (zipped({"x.npy": b"\x93NUMPY"}), "'x.npy'"),
    "a model cut short": (tarred({"model.onnx": exported("mlp", "torchscript", 17)[:-9]}), "no whole ONNX model"),
    "an empty tar.gz": (tarred({"d": b""}, "w:gz"), "no whole ONNX model"),
}


@pytest.mark.parametrize(("archive", "message"), STRANGERS.values(), ids=STRANGERS)
def test_archives_without_a_model_are_refused_with_what_is_in_them(archive, message):
    with pytest.raises(UnsupportedFormatError, match=message) as caught:
        eigengate.load_model(archive)
    assert caught.value.hint


def test_arrays_in_place_of_a_model_are_asked_about():
    stream = io.BytesIO()
    np.savez(stream, x=np.ones(3))
    with pytest.raises(UnsupportedFormatError) as caught:
        eigengate.load_model(stream.getvalue())
    assert caught.value.hint == "Are model and probe swapped?"


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_a_bundle_is_told_by_content_and_stays_onnx(pack, tmp_path):
    path = tmp_path / "anything.pt"
    path.write_bytes(pack(apart(exported("lenet", "torchscript", 17))))
    model = eigengate.load_model(path)
    assert model.format == "onnx"
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_torchscript_with_an_onnx_file_among_its_extras_stays_torchscript():
    module, x = network("mlp")
    stream = io.BytesIO()
    extra = {"model.onnx": exported("mlp", "torchscript", 17)}
    torch.jit.save(torch.jit.trace(module, x), stream, _extra_files=extra)
    assert eigengate.load_model(stream.getvalue()).format == "torchscript"


def test_a_folder_is_told_to_come_as_an_archive(tmp_path):
    with pytest.raises(eigengate.errors.InputError, match="is a folder") as caught:
        eigengate.load_model(tmp_path)
    assert "archive" in caught.value.hint


def test_the_refusal_of_a_lone_model_says_how_to_pack_it():
    lone = apart(exported("mlp", "torchscript", 17))["model.onnx"]
    with pytest.raises(ModelLoadError, match="keeps its data outside") as caught:
        eigengate.load_model(lone)
    assert "zip bundle.zip model.onnx model.onnx.data" in caught.value.hint


@pytest.mark.parametrize(
    "pack", [PACKERS["zip, stored"], PACKERS["tar"], PACKERS["tar.gz"]], ids=["zip", "tar", "tar.gz"]
)
def test_damaged_bundles_end_in_our_own_errors(pack):
    """Cut short or with one byte changed, a bundle either loads or is refused, but nothing else is ever raised."""
    whole = pack(apart(exported("mlp", "torchscript", 17)))
    cuts = [whole[:length] for length in range(1, len(whole), 401)]
    flips = [whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :] for i in range(0, len(whole), 37)]
    outcomes = set()
    for data in cuts + flips:
        try:
            eigengate.load_model(data)
            outcomes.add("loaded")
        except ModelError:
            outcomes.add("refused")
    assert "refused" in outcomes
    assert "loaded" in outcomes or whole[:2] == b"\x1f\x8b"  # gzip's checksum leaves no damage unnoticed
