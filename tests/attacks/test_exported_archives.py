"""Hostile torch.export archives: each is refused for the right reason or cleaned, and nothing in any of them runs.

Every edit here made PyTorch's own loader run code, or read memory that is not the file's, when it was tried.
"""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from eigengate.errors import EigengateError, ModelLoadError, UnsupportedOperatorError
from eigengate.loading.exported import read_exported
from tests.support.exported_networks import (
    CONSTANTS,
    FIXED,
    MODEL,
    WEIGHTS,
    edited,
    exported,
    members,
    packed,
    replaced,
)

X = torch.ones(3, 2)
Edit = Callable[[dict], None]


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(2, 2)
        self.c = torch.ones(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.l(x) + self.c


@pytest.fixture(scope="module")
def good() -> bytes:
    module = Small()
    return exported(module, (X,), FIXED)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that must not be there in the end."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "something in the archive was run"


def code(canary: Path) -> str:
    return f"__import__('os').system('touch {canary}')"


class Touch:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


def pickled(canary: Path) -> bytes:
    return pickle.dumps(Touch(canary))


def saved_pickle(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def run_everything(data: bytes) -> None:
    lowered = read_exported(data)
    (ours,) = lowered.program(lowered.program.parameters, X)
    torch.testing.assert_close(lowered.runtime(X)[0], ours)
    dict(lowered.program.watch(lowered.program.parameters, X))


def test_the_canary_sings(tmp_path: Path) -> None:
    """The payloads do run where they are let: otherwise these tests would prove nothing."""
    path = tmp_path / "canary"
    pickle.loads(pickled(path))
    assert path.exists()
    path.unlink()
    eval(code(path))
    assert path.exists()


def test_the_good_archive_is_read(good: bytes) -> None:
    run_everything(good)


# Pickles and compiled code.


def test_pickled_weights_are_refused(good: bytes, canary: Path) -> None:
    def edit(document: dict) -> None:
        document["config"]["l.bias"]["use_pickle"] = True

    evil = replaced(edited(good, WEIGHTS, edit), data__weights__weight_1=saved_pickle(Touch(canary)))
    with pytest.raises(ModelLoadError, match=r"'l.bias' is stored as a pickle"):
        read_exported(evil)


@pytest.mark.parametrize("prefix", ["opaque_obj_", "custom_obj_"])
def test_pickled_objects_are_refused(good: bytes, canary: Path, prefix: str) -> None:
    def edit(document: dict) -> None:
        entry = {"path_name": f"{prefix}0", "is_param": False, "use_pickle": True, "tensor_meta": None}
        document["config"]["evil"] = entry

    evil = edited(good, CONSTANTS, edit)
    with pytest.raises(ModelLoadError, match="'evil' is stored as a pickle"):
        read_exported(evil)
    with pytest.raises(ModelLoadError, match="pickled"):
        read_exported(replaced(evil, **{f"data__constants__{prefix}0": pickled(canary)}))


def test_compiled_code_is_refused(good: bytes) -> None:
    with pytest.raises(ModelLoadError, match="compiled machine code"):
        read_exported(replaced(good, data__aotinductor__model__model_so=b"\x7fELF"))


def test_pickled_example_inputs_are_never_opened(good: bytes, canary: Path) -> None:
    for evil in (saved_pickle(Touch(canary)), pickled(canary), b"x"):
        run_everything(packed({**members(good), "archive/data/sample_inputs/model.pt": evil}))


def test_weights_in_both_layouts_at_once_are_refused(good: bytes, canary: Path) -> None:
    contents = members(good)
    for folder in ("weights", "constants"):
        evil = packed({**contents, f"archive/data/{folder}/model.pt": saved_pickle(Touch(canary))})
        with pytest.raises(ModelLoadError, match="either"):
            read_exported(evil)


def older(good: bytes, weights: bytes, folder: str = "weights") -> bytes:
    """The layout of PyTorch 2.8 with these weights."""
    contents = {name: data for name, data in members(good).items() if f"data/{folder}/" not in name}
    return packed({**contents, f"archive/data/{folder}/model.pt": weights})


def with_pickle(raw: bytes) -> bytes:
    """What torch.save writes around a pickle."""
    return packed({"archive/data.pkl": raw, "archive/version": b"3\n", "archive/data/0": bytes(16)})


def flat(good: bytes, weights: bytes, constants: bytes | None = None) -> bytes:
    """The layout up to PyTorch 2.7 with these weights."""
    empty = saved_pickle({})
    return packed(
        {
            "serialized_exported_program.json": members(good)[MODEL],
            "serialized_state_dict.pt": weights,
            "serialized_constants.pt": constants or empty,
            "serialized_example_inputs.pt": empty,
            "version": b"8.2",
        }
    )


@pytest.mark.parametrize("layout", [older, flat])
def test_a_pickle_of_an_older_layout_may_name_nothing_but_tensors(
    good: bytes, canary: Path, layout: Callable[[bytes, bytes], bytes]
) -> None:
    for value in (Touch(canary), {"l.weight": Touch(canary)}, {"l.weight": torch.ones(2), "x": Touch(canary)}):
        with pytest.raises(ModelLoadError, match=r"names 'posix.system'"):
            read_exported(layout(good, saved_pickle(value)))


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(tR.", "cannot be read"),
        (b"ctorch._utils\n_rebuild_sparse_tensor\n(tR.", "_rebuild_sparse_tensor"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n}S'__globals__'\n}sb.", "cannot be read|no dictionary"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(N}S'__code__'\nNsN\x86b.", "cannot be read|no dictionary"),
        (b"c_pickle\nUnpickler\n(tR.", "_pickle.Unpickler"),
        (b"ccollections\nOrderedDict\n(tR(S'items'\nI1\nd.", "no tensor|no dictionary"),
        (b"I1\n.", "no dictionary"),
        (b"(S'storage'\nS'x'\nS'../../etc/passwd'\nS'cpu'\nI1\ntQ.", "no storage|cannot be read"),
        (b"(I1\ntQ.", "cannot be read"),
        (b"(" * 100_000, "cannot be read"),
        (b"", "cannot be read"),
    ],
    ids=range(13),
)
def test_a_crafted_pickle_does_nothing(good: bytes, raw: bytes, complaint: str) -> None:
    from eigengate.loading.exported import pickled as module

    with pytest.raises(ModelLoadError, match=complaint):
        read_exported(older(good, with_pickle(raw)))
    assert module.pickled_tensors.__defaults__ is None


def test_a_pickled_tensor_may_not_look_beyond_its_storage(good: bytes) -> None:
    raw = pickle.dumps({})
    whole = saved_pickle({"l.weight": torch.ones(2, 2)})
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        raw = file.read("archive/data.pkl")
    # Sizes (2, 2) as protocol 2 writes them: two small integers and the instruction for a pair.
    assert raw.count(b"K\x02K\x02\x86") == 1
    evil = raw.replace(b"K\x02K\x02\x86", b"K\xffK\xff\x86")
    with pytest.raises(ModelLoadError, match="reaches to element"):
        read_exported(older(good, packed({"archive/data.pkl": evil, "archive/data/0": bytes(16)})))


# Texts that PyTorch evaluates or puts into code.


def in_graph(change: Callable[[dict], None]) -> Edit:
    return lambda document: change(document["graph_module"]["graph"])


@pytest.mark.parametrize("value", ["x", "linear", "add"])
def test_code_in_a_size_is_refused(good: bytes, canary: Path, value: str) -> None:
    def change(graph: dict) -> None:
        graph["tensor_values"][value]["sizes"][0] = {"as_expr": {"expr_str": code(canary), "hint": None}}

    with pytest.raises(ModelLoadError, match="expression of sizes"):
        read_exported(edited(good, MODEL, in_graph(change)))


@pytest.mark.parametrize("place", ["sym_int_values", "sym_bool_values", "sym_float_values"])
def test_code_in_a_computed_size_is_refused(good: bytes, canary: Path, place: str) -> None:
    def change(graph: dict) -> None:
        graph[place]["s"] = {"as_expr": {"expr_str": f"Symbol('s0').func({code(canary)})", "hint": None}}

    with pytest.raises(ModelLoadError, match="expression of sizes"):
        read_exported(edited(good, MODEL, in_graph(change)))


def test_code_in_a_range_is_refused(good: bytes, canary: Path) -> None:
    def edit(document: dict) -> None:
        document["range_constraints"][code(canary)] = {"min_val": 0, "max_val": 1}

    with pytest.raises(ModelLoadError, match="expression of sizes"):
        read_exported(edited(good, MODEL, edit))


@pytest.mark.parametrize("old", ['"x"', '"linear"', '"add"', '"p_l_weight"'])
def test_code_in_a_name_is_refused(good: bytes, canary: Path, old: str) -> None:
    for new in (f"x={code(canary)}", f"x;{code(canary)};x", f"x\n    {code(canary)}", "x y", "1x", "", "ｘ", "x" * 300):
        evil = members(good)[MODEL].replace(old.encode(), json.dumps(new).encode())
        with pytest.raises(ModelLoadError, match="may not be"):
            read_exported(packed({**members(good), MODEL: evil}))


def test_guards_written_as_code_are_left_out_and_said(good: bytes, canary: Path) -> None:
    evil = edited(good, MODEL, lambda document: document.update(guards_code=[f"{code(canary)} or True"]))
    run_everything(evil)
    assert "1 guard(s) written as Python" in read_exported(evil).program.notes[0]


def test_what_describes_the_source_is_left_out(good: bytes, canary: Path) -> None:
    def edit(document: dict) -> None:
        for node in document["graph_module"]["graph"]["nodes"]:
            node["metadata"] = {
                "source_fn_stack": "linear,torch.os.system",
                "torch_fn": "a;b",
                "nn_module_stack": code(canary),
                "stack_trace": code(canary),
                "custom": code(canary),
                "from_node": code(canary),
            }
        document["graph_module"]["metadata"] = {"custom": code(canary)}
        (root,) = (m for m in document["graph_module"]["module_call_graph"] if m["fqn"] == "")
        evil = {"type": code(canary), "context": code(canary), "children_spec": []}
        root["signature"].update(in_spec=json.dumps([1, evil]), out_spec=json.dumps([1, evil]))
        root["signature"]["forward_arg_names"] = [code(canary)]

    run_everything(edited(good, MODEL, edit))


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "_operator.methodcaller",
        "math.__loader__.load_module",
        "torch.hub.load",
        "#evil:operator",
        "os",
    ],
)
def test_functions_that_are_no_operators_are_refused(good: bytes, canary: Path, target: str) -> None:
    def change(graph: dict) -> None:
        node = graph["nodes"][0]
        node["target"] = target
        node["inputs"] = [{"name": "", "arg": {"as_string": f"touch {canary}"}, "kind": 1}]

    with pytest.raises(UnsupportedOperatorError, match=r"only operators of torch\.ops\.aten"):
        read_exported(edited(good, MODEL, in_graph(change)))


@pytest.mark.parametrize(
    ("target", "argument"),
    [
        ("torch.ops.aten.from_file.default", {"name": "filename", "arg": {"as_string": "/etc/passwd"}, "kind": 1}),
        ("torch.ops.aten.save.default", {"name": "filename", "arg": {"as_string": "/tmp/x"}, "kind": 1}),
        (
            "torch.ops.inductor._reinterpret_tensor.default",
            {"name": "self", "arg": {"as_tensor": {"name": "x"}}, "kind": 1},
        ),
        (
            "torch.ops.inductor.resize_storage_bytes_.default",
            {"name": "v", "arg": {"as_tensor": {"name": "x"}}, "kind": 1},
        ),
        ("torch.ops.aten.as_strided.default", {"name": "self", "arg": {"as_tensor": {"name": "x"}}, "kind": 1}),
        ("torch.ops.debugprims.load_tensor.default", {"name": "name", "arg": {"as_string": "x"}, "kind": 1}),
        ("torch.ops.c10d.barrier.default", {"name": "x", "arg": {"as_tensor": {"name": "x"}}, "kind": 1}),
        ("torch.ops.higher_order.run_const_graph", {"name": "", "arg": {"as_tensor": {"name": "x"}}, "kind": 1}),
    ],
)
def test_operators_that_reach_out_are_refused(good: bytes, target: str, argument: dict) -> None:
    def change(graph: dict) -> None:
        graph["nodes"][0].update(target=target, inputs=[argument])

    with pytest.raises(UnsupportedOperatorError):
        read_exported(edited(good, MODEL, in_graph(change)))


@pytest.mark.parametrize(
    "argument",
    [
        {"as_operator": "torch.os.system"},
        {"as_custom_obj": {"name": "evil", "class_fqn": "__torch__.torch.classes.quantized.LinearPackedParamsBase"}},
        {"as_nothing": 1},
        {"as_tensor": {"name": "x"}, "as_int": 1},
        {"as_device": {"type": "cpu"}, "as_custom_obj": None},
    ],
    ids=range(5),
)
def test_values_that_are_no_values_are_refused(good: bytes, argument: dict) -> None:
    def change(graph: dict) -> None:
        graph["nodes"][0]["inputs"][0]["arg"] = argument

    with pytest.raises(ModelLoadError):
        read_exported(edited(good, MODEL, in_graph(change)))


def test_other_devices_and_dialects_reach_nothing(good: bytes) -> None:
    text = members(good)[MODEL].replace(b'{"type": "cpu", "index": null}', b'{"type": "__import__", "index": 99}')
    run_everything(packed({**members(good), MODEL: text}))
    with pytest.raises(ModelLoadError, match="dialect"):
        read_exported(edited(good, MODEL, lambda document: document.update(verifiers=["os"])))


# Tensors that are not what they say.


def in_weight(**changes: object) -> Edit:
    return lambda document: document["config"]["l.bias"]["tensor_meta"].update(changes)


def test_weights_beyond_the_file_are_refused(good: bytes) -> None:
    for changes in (
        {"sizes": [{"as_int": 1 << 40}], "strides": [{"as_int": 1}]},
        {"storage_offset": {"as_int": 1 << 30}},
        {"sizes": [{"as_int": 2}], "strides": [{"as_int": (1 << 63) - 1}]},
        {"dtype": 8},
        {"dtype": 11},
    ):
        with pytest.raises(ModelLoadError, match="reaches to element"):
            read_exported(edited(good, WEIGHTS, in_weight(**changes)))


def test_weights_larger_than_memory_are_refused(good: bytes) -> None:
    huge = in_weight(sizes=[{"as_int": 1 << 40}], strides=[{"as_int": 0}])
    with pytest.raises(ModelLoadError, match="unpacks to more than"):
        read_exported(edited(good, WEIGHTS, huge))


@pytest.mark.parametrize(
    "changes",
    [
        {"sizes": [{"as_int": -1}]},
        {"strides": [{"as_int": -1}]},
        {"storage_offset": {"as_int": -4}},
        {"sizes": [{"as_expr": {"expr_str": "s0", "hint": None}}]},
        {"sizes": [{"as_int": 2.0}]},
        {"sizes": [{"as_int": 1 << 64}]},
        {"sizes": [{"as_int": 1}] * 100, "strides": [{"as_int": 1}] * 100},
        {"sizes": []},
        {"dtype": 29},
        {"dtype": True},
        {"layout": 1},
    ],
    ids=str,
)
def test_weights_that_make_no_sense_are_refused(good: bytes, changes: dict) -> None:
    with pytest.raises(ModelLoadError):
        read_exported(edited(good, WEIGHTS, in_weight(**changes)))


@pytest.mark.parametrize("path", ["../../../../etc/passwd", "/etc/passwd", "weight_1/../weight_0", "", "weight_99"])
def test_paths_lead_nowhere_else(good: bytes, path: str) -> None:
    with pytest.raises(ModelLoadError):
        read_exported(edited(good, WEIGHTS, lambda document: document["config"]["l.bias"].update(path_name=path)))


# Containers.


def test_a_member_that_has_no_business_there_is_refused(good: bytes) -> None:
    for name in ("evil.py", "data__weights__evil.so", "code__x.py", "models__x.json.bak", "data.pkl"):
        with pytest.raises(ModelLoadError, match="not read here"):
            read_exported(packed({**members(good), f"archive/{name.replace('__', '/')}": b""}))
    for name in ("archive/../evil", "/etc/passwd", "archive/models/MODEL.json", "other/x"):
        with pytest.raises(ModelLoadError):
            read_exported(packed({**members(good), name: b""}))


def test_two_programs_in_one_archive_are_refused(good: bytes) -> None:
    contents = members(good)
    with pytest.raises(ModelLoadError, match="2 exported programs"):
        read_exported(packed({**contents, "archive/models/other.json": contents[MODEL]}))


def test_a_member_written_twice_is_refused(good: bytes) -> None:
    buffer = io.BytesIO(good)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(buffer, "a") as file:
        file.writestr(MODEL, b"{}")
    with pytest.raises(ModelLoadError, match="two members"):
        read_exported(buffer.getvalue())


def test_a_decompression_bomb_is_refused(good: bytes) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members(good).items():
            file.writestr(name, bytes(64 << 20) if name == MODEL else content)
    with pytest.raises(ModelLoadError, match="inflates"):
        read_exported(buffer.getvalue())


# Programs that contradict themselves.


@pytest.mark.parametrize(
    "change",
    [
        lambda graph: graph["nodes"].reverse(),
        lambda graph: graph["nodes"].append(graph["nodes"][0]),
        lambda graph: graph["nodes"].clear(),
        lambda graph: graph["inputs"].pop(),
        lambda graph: graph["outputs"].append({"as_tensor": {"name": "x"}}),
        lambda graph: graph["nodes"][0]["outputs"].clear(),
        lambda graph: graph["nodes"][0]["outputs"].append({"as_tensor": {"name": "more"}}),
        lambda graph: graph["nodes"][0].update(outputs=[{"as_tensors": [{"name": "linear"}]}]),
        lambda graph: graph["nodes"][0]["inputs"].append({"name": "input", "arg": {"as_int": 1}, "kind": 1}),
        lambda graph: graph["tensor_values"].pop("x"),
    ],
    ids=range(10),
)
def test_a_program_that_contradicts_itself_fails_in_our_words(good: bytes, change: Callable[[dict], object]) -> None:
    def attempt() -> None:
        lowered = read_exported(edited(good, MODEL, in_graph(lambda graph: change(graph) and None)))
        lowered.program(lowered.program.parameters, X)

    with pytest.raises(EigengateError):
        attempt()


def test_loading_never_asks_pytorch(good: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever PyTorch offers for reading files is for the witness alone, and that only sees an archive of ours."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("PyTorch was asked to read a file")

    for owner, name in [
        (torch, "load"),
        (torch.export, "load"),
        (torch.jit, "load"),
        (pickle, "loads"),
        (pickle, "load"),
    ]:
        monkeypatch.setattr(owner, name, forbidden)
    old = flat(good, saved_pickle(Small().state_dict()), saved_pickle({"c": torch.ones(2)}))
    for data in (good, old):
        lowered = read_exported(data)
        lowered.program(lowered.program.parameters, X)
