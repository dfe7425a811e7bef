"""Hostile TorchScript archives: each is refused by name before PyTorch sees it, and nothing in any of them runs."""

import io
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from eigengate.errors import EigengateError, ModelLoadError, UnsupportedOperatorError
from eigengate.loading.container import member
from eigengate.loading.torchscript import pickles, read_torchscript, sources
from eigengate.loading.torchscript.vet import vet_graphs
from tests.support.torch_networks import saved

X = torch.tensor([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.0]])
Change = Callable[[bytes], bytes]


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.l(x) * 2


def small() -> bytes:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return saved(torch.jit.script(Small()))


GOOD = small()


def members(data: bytes = GOOD) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(contents: dict[str, bytes], method: int = zipfile.ZIP_STORED, **attributes: object) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name)
            for key, value in attributes.items():
                setattr(entry, key, value)
            file.writestr(entry, content, method)
    return stream.getvalue()


def with_member(name: str, content: bytes = b"x") -> bytes:
    return packed({**members(), name: content})


def changed(ending: str, change: Change) -> bytes:
    """The good archive with the member of that name changed."""
    contents = members()
    (name,) = (name for name in contents if name.endswith(ending))
    assert change(contents[name]) != contents[name], "the change must find what it is to change"
    return packed({**contents, name: change(contents[name])})


def coded(body: str, before: str = "", head: str = "def forward") -> bytes:
    """The good archive with other statements in forward, and more text in front of the class or inside it."""

    def change(text: bytes) -> bytes:
        lines = re.sub(r"    l = self\.l.*?\n(?=class|\Z)", body + "\n", text.decode(), flags=re.DOTALL)
        return (before + lines.replace("  def forward", f"  {head}", 1)).encode()

    return changed("code/__torch__/tests/attacks/test_torchscript_archives.py", change)


def read(data: bytes) -> Tensor:
    """What the model gives, by our program and by PyTorch's own executor alike."""
    lowered = read_torchscript(data)
    (ours,) = lowered.program(lowered.program.parameters, X)
    torch.testing.assert_close(lowered.runtime(X)[0], ours)
    return ours


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that must not be there in the end."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "something in the archive was run"


def test_the_good_archive_is_read() -> None:
    assert read(GOOD).shape == (3, 2)


# The container.


def field(signature: bytes, offset: int, value: bytes, last: bool = False) -> Change:
    """Write to a field of the first (or last) record of a kind."""

    def change(data: bytes) -> bytes:
        place = (data.rindex if last else data.index)(signature) + offset
        return data[:place] + value + data[place + len(value) :]

    return change


LOCAL, RECORD, END64, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x06\x06", b"PK\x05\x06"
PLAIN = packed(members())
MIDDLE = PLAIN.index(LOCAL, 1)


def moved_apart(data: bytes) -> bytes:
    """Bytes between the members and the directory, whose place is told rightly."""
    start = data.index(RECORD)
    place = data.rindex(END) + 16
    return data[:start] + b"hidden" + data[start:place] + struct.pack("<I", start + 6) + data[place + 4 :]


CONTAINERS = {
    "foreign bytes in front": (b"PK\x03\x04 #!/bin/sh" + GOOD, "begins with 14 foreign bytes"),
    "foreign bytes behind": (GOOD + b"#!/bin/sh", "9 foreign bytes follow"),
    "bytes of no member": (moved_apart(PLAIN), "6 bytes that belong to no member"),
    "cut short": (GOOD[:-1], "cut short"),
    "local name": (field(b"archive/", 0, b"ARCHIVE/")(GOOD), "one name in the directory and another"),
    "local size": (field(LOCAL, 22, b"\1\0\0\0")(PLAIN), "one size or checksum in the directory"),
    "local checksum": (field(LOCAL, 14, b"\1\2\3\4")(PLAIN), "one size or checksum in the directory"),
    "local method": (field(LOCAL, 8, b"\x08\0")(PLAIN), "one way of packing in the directory"),
    "descriptor": (field(b"PK\x07\x08", 4, b"\1\2\3\4")(GOOD), "one size or checksum in the directory"),
    "overlap": (field(RECORD, 42, b"\0\0\0\0", last=True)(PLAIN), "overlap"),
    "encrypted": (field(RECORD, 8, b"\x01\x08")(GOOD), "encrypted"),
    "symbolic link": (packed(members(), external_attr=0o120777 << 16), "link or a device"),
    "other method": (packed(members(), zipfile.ZIP_BZIP2), "compressed by the method"),
    "decompression bomb": (packed({**members(), "archive/data/9": bytes(9 << 20)}, zipfile.ZIP_DEFLATED), "inflates"),
    "fewer members listed": (field(END, 8, b"\1\0\1\0")(PLAIN), "does not hold 1 members"),
    "more members listed": (field(END, 8, b"\xfe\0\xfe\0")(PLAIN), "damaged"),
    "several parts": (field(END, 4, b"\1\0")(PLAIN), "one part of several"),
    "two counts": (field(END, 8, b"\1\0\1\0")(GOOD), "contradict each other"),
    "64-bit size": (field(END64, 40, b"\xff" * 8)(GOOD), "damaged"),
    "64-bit length": (field(END64, 4, b"\xff" * 8)(GOOD), "64-bit closing record"),
    "absolute": (with_member("/etc/passwd"), "unsafe path"),
    "climbing": (with_member("archive/../../x"), "unsafe path"),
    "backslash": (with_member("archive\\x"), "unsafe path"),
    "control character": (with_member("archive/a\x1bb"), "unsafe path"),
    "zero byte": (with_member("archive/aXb").replace(b"aXb", b"a\0b"), "unsafe path"),
    "other case": (with_member("archive/DATA.pkl"), "two members named"),
    "other folder": (with_member("other/version"), "one top folder"),
    "machine code": (with_member("archive/data/x.so", b"\x7fELF"), "members that no TorchScript archive has"),
    "second pickle": (with_member("archive/more/data.pkl"), "members that no TorchScript archive has"),
    "byte order": (changed("byteorder", lambda _: b"big"), "big-endian"),
}


@pytest.mark.parametrize(("data", "message"), CONTAINERS.values(), ids=CONTAINERS)
def test_hostile_containers_are_refused_with_a_remedy(data: bytes, message: str) -> None:
    with pytest.raises(ModelLoadError, match=message) as caught:
        read_torchscript(data)
    assert caught.value.hint


def commented(data: bytes) -> bytes:
    return data[:-2] + b"\5\0hello"


HARMLESS = {
    "deflated": packed(members(), zipfile.ZIP_DEFLATED),
    "with a comment": commented(GOOD),
    "with extra files": with_member("archive/extra/labels.txt", b"cat"),
    "of another machine": packed(members(), create_system=0, external_attr=0o100644 << 16),
    "in another folder": packed({f"other/{name.partition('/')[2]}": data for name, data in members().items()}),
    "of an older PyTorch": packed({n: d for n, d in members().items() if not n.endswith(("byteorder", "_id"))}),
}


@pytest.mark.parametrize("data", HARMLESS.values(), ids=HARMLESS)
def test_harmless_containers_are_read(data: bytes) -> None:
    torch.testing.assert_close(read(data), read(GOOD), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("limit", "message"), [("MAX_MEMBERS", "more than 7 members"), ("MAX_PACKED_BYTES", "more than 7 bytes")]
)
def test_archives_beyond_the_limits_are_refused(limit: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member, limit, 7)
    with pytest.raises(ModelLoadError, match=message):
        read_torchscript(GOOD)


# The text.


def hooked(canary: Path, statement: str) -> bytes:
    hook = f"__setstate__(self, state: int) -> None:\n    {statement.format(canary)}\n  def forward"
    return coded("    return x", head=f"def {hook}")


def test_the_canary_sings(tmp_path: Path) -> None:
    """Such text does run where it is let: otherwise these tests would prove nothing."""
    path = tmp_path / "canary"

    class Hooked(nn.Module):
        def __init__(self, path: str) -> None:
            super().__init__()
            self.path = path

        @torch.jit.export
        def __getstate__(self) -> tuple[str, bool]:
            return (self.path, self.training)

        @torch.jit.export
        def __setstate__(self, state: tuple[str, bool]) -> None:
            self.path = state[0]
            self.training = state[1]
            torch.save("sung", self.path)

        def forward(self, x: Tensor) -> Tensor:
            return x

    data = saved(torch.jit.script(Hooked(str(path))))
    with pytest.raises(ModelLoadError, match="__getstate__, which runs"):
        read_torchscript(data)
    assert not path.exists()
    torch.jit.load(io.BytesIO(data))
    assert path.exists()


@pytest.mark.parametrize(
    "statement", ['torch.save("x", "{}")', "while True:\n      pass", '_0 = "{}"', "self.training = state"]
)
def test_code_that_runs_on_loading_is_refused_whatever_it_does(statement: str, canary: Path) -> None:
    with pytest.raises(ModelLoadError, match="__setstate__, which runs while") as caught:
        read_torchscript(hooked(canary, statement))
    assert "serialisation hooks" in (caught.value.hint or "")


OPERATORS = {
    "file": ('    return torch.from_file("{}", True, 5)', "aten::from_file"),
    "save": ('    torch.save(x, "{}")\n    return x', "aten::save"),
    "save as a method": ('    x.save("{}")\n    return x', "aten::save"),
    "save as a method of a call": ('    (torch.relu(x)).save("{}")\n    return x', "aten::save"),
    "save by a detour": ('    torch.autograd.save(x, "{}")\n    return x', "torch::autograd.save"),
    "save by another name": ('    t = torch\n    t.save(x, "{}")\n    return x', "torch::torch"),
    "save by its name": ('    getattr(torch, "save")(x, "{}")\n    return x', "torch::torch"),
    "aten by the long way": ('    ops.aten.save(x, "{}")\n    return x', "aten::save"),
    "never reached": ('    if False:\n      torch.save(x, "{}")\n    return x', "aten::save"),
    "memory": ("    return ops.inductor._reinterpret_tensor(x, [64], [1], 0)", "inductor::_reinterpret_tensor"),
    "namespace": ("    y = ops.inductor\n    return x", "ops::inductor"),
    "address": ("    return torch.fbgemm_linear_fp16_weight(x, x, x)", "aten::fbgemm_linear_fp16_weight"),
    "resize": ("    return torch.resize_(x, [1000000])", "aten::resize_"),
    "strides": ("    return torch.as_strided(x, [64], [1], 0)", "aten::as_strided"),
    "private": ("    return torch._dimV(x)", "aten::_dimV"),
    "unknown": ("    torch.set_num_threads(64)\n    return x", "aten::set_num_threads"),
    "gradient mode": ("    torch.set_grad_enabled(False)\n    return x", "aten::set_grad_enabled"),
    "seed": ("    torch.manual_seed(0)\n    return x", "aten::manual_seed"),
    "backward": ("    torch.backward(x)\n    return x", "aten::backward"),
    "gradient": ("    y = ops.prim.grad(x)\n    return x", "prim::grad"),
    "fork": ("    y = fork(self.forward, x)\n    return x", "prim::fork"),
    "awaitable": ("    y = awaitable(self.forward, x)\n    return x", "prim::awaitable"),
    "remote call": ('    y = rpc_async("w", self.forward, (x,))\n    return x', "prim::rpc_async"),
    "process group": ("    return ops.c10d.barrier(x)", "c10d::barrier"),
    "custom class": ("    y = __torch__.torch.classes.metal.Conv2dOpContext(x)\n    return x", "metal::custom_class"),
}


@pytest.mark.parametrize(("body", "operator"), OPERATORS.values(), ids=OPERATORS)
def test_forbidden_operators_in_the_text_are_refused_by_name(body: str, operator: str, canary: Path) -> None:
    with pytest.raises(UnsupportedOperatorError, match=re.escape(operator)) as caught:
        read_torchscript(coded(body.format(canary)))
    assert operator in [node["operator"] for node in caught.value.context["nodes"]]
    assert "evaluation mode" in (caught.value.hint or "")


def test_all_forbidden_operators_are_listed() -> None:
    body = '    torch.save(x, "a")\n    return torch.from_file("b")'
    with pytest.raises(UnsupportedOperatorError, match="aten::from_file, aten::save") as caught:
        read_torchscript(coded(body))
    found = {(node["name"], node["operator"], node["domain"]) for node in caught.value.context["nodes"]}
    path = "code/__torch__/tests/attacks/test_torchscript_archives.py"
    assert found == {(path, "aten::save", "aten"), (path, "aten::from_file", "aten")}


OWN_SAVE = "save(self: __torch__.tests.attacks.test_torchscript_archives.Small, x: Tensor) -> Tensor:\n    return x\n"


@pytest.mark.parametrize(
    ("body", "head"),
    [
        ("    return torch.relu(x)", "def forward"),
        ("    return x.relu()", "def forward"),
        ('    y = "from_file __torch__.torch.classes"\n    return torch.relu(x)', "def forward"),
        ("    return torch.relu(self.save(x))", f"def {OWN_SAVE}  def forward"),
        ("    n = 0\n    while n < 2:\n      n = n + 1\n    return torch.relu(x)", "def forward"),
    ],
    ids=["operator", "method", "string", "own method of that name", "loop"],
)
def test_harmless_text_is_read(body: str, head: str) -> None:
    assert torch.equal(read(coded(body, head=head)), torch.relu(X))


DEEP = 200_000
TOO_DEEP = {
    "parentheses": "    return " + "(" * DEEP + "x" + ")" * DEEP,
    "minus": "    return " + "-" * DEEP + "x",
    "sum": "    return x" + " + x" * 2_000,
    "calls": "    return " + "torch.relu(" * 197 + "x" + ")" * 197,
    "blocks": "".join(f"    {' ' * k}if True:\n" for k in range(3_000)) + f"    {' ' * 3_000}y = 1\n    return x",
}


@pytest.mark.parametrize("body", TOO_DEEP.values(), ids=TOO_DEEP)
def test_text_that_would_overflow_the_loader_is_refused(body: str) -> None:
    with pytest.raises(ModelLoadError, match=r"not TorchScript that can be read|deeper than 200") as caught:
        read_torchscript(coded(body))
    assert caught.value.hint


def test_text_of_honest_depth_is_read() -> None:
    assert torch.equal(read(coded("    return " + "torch.relu(" * 80 + "x" + ")" * 80)), torch.relu(X))


@pytest.mark.parametrize(
    ("limit", "most", "message"),
    [
        ("MAX_TEXT_BYTES", 300, "characters, more than 300"),
        ("MAX_CALLS", 2, "calls, more than 2"),
        ("MAX_CLASSES", 1, "classes, more than 1"),
        ("MAX_NAME_LENGTH", 5, "a name of .* characters, more than 5"),
    ],
)
def test_text_beyond_the_limits_is_refused(
    limit: str, most: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, limit, most)
    with pytest.raises(ModelLoadError, match=message) as caught:
        read_torchscript(GOOD)
    assert caught.value.hint


# The pickles.


def command(canary: Path) -> bytes:
    text = f"touch {canary}".encode()
    return b"\x80\x02cposix\nsystem\nX" + struct.pack("<I", len(text)) + text + b"\x85R."


PICKLES = {
    "lists": (b"\x80\x02" + b"]" * 10_000 + b"a" * 9_999 + b".", "nests values deeper than 200"),
    "tuples": (b"\x80\x02N" + b"\x85" * 1_000 + b".", "nests values deeper than 200"),
    "remembered lists": (
        b"\x80\x02" + b"".join(b"]q" + bytes([k]) + b"0" for k in range(250)),
        "uses the pickle instruction POP",
    ),
    "lists filled late": (
        b"\x80\x02("
        + b"".join(b"]q" + bytes([k]) for k in range(250))
        + b"t"
        # The first holds the second, which holds the third, and so on.
        + b"("
        + b"".join(b"h" + bytes([k]) + b"h" + bytes([k + 1]) + b"a" for k in range(249))
        + b"t\x86.",
        "nests values deeper than 200",
    ),
    "itself": (b"\x80\x02]q\0h\0a.", "contains itself"),
    "memory": (b"\x80\x02Nr\xff\xff\xff\x7f.", "remembers a value under number 2147483647"),
    "other way to name": (b"\x80\x02X\5\0\0\0posixX\6\0\0\0system\x93.", "STACK_GLOBAL"),
    "extension": (b"\x80\x02\x82\1.", "EXT1"),
    "sparse tensor": (b"\x80\x02ctorch._utils\n_rebuild_sparse_tensor\n.", "_rebuild_sparse_tensor"),
    "remote reference": (b"\x80\x02ctorch.distributed.rpc\nrref\n.", "torch.distributed.rpc.rref"),
    "no pickle": (b"hello", "not a pickle that can be read"),
    "cut short": (b"\x80\x02(N", "not a pickle that can be read"),
    "nothing": (b"\x80\x02.", "not a pickle that can be read"),
}


@pytest.mark.parametrize("which", ["data.pkl", "constants.pkl"])
@pytest.mark.parametrize(("pickled", "message"), PICKLES.values(), ids=PICKLES)
def test_hostile_pickles_are_refused(which: str, pickled: bytes, message: str) -> None:
    with pytest.raises(ModelLoadError, match=message) as caught:
        read_torchscript(changed(f"/{which}", lambda _: pickled))
    assert caught.value.hint


@pytest.mark.parametrize("which", ["data.pkl", "constants.pkl", "traced_inputs.pkl"])
def test_commands_in_pickles_are_refused(which: str, canary: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"names 'posix\.system'"):
        read_torchscript(packed({**members(), f"archive/{which}": command(canary)}))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"K\x04tQ", b"J\0\0\0\x10tQ", "holds 268,435,456 numbers of 4 bytes; the archive has 16 bytes"),
        (b"ctorch\nFloatStorage", b"ctorch\nDoubleStorage", "numbers of 8 bytes; the archive has 16 bytes"),
        (b"K\x02K\x02t", b"K\x02M\xff\xfft", "reaches beyond the 4 numbers"),
        (b"(K\x02K\x01t", b"(M\xff\xffK\x01t", "reaches beyond the 4 numbers"),
        (b"(K\x02K\x01t", b"(J\xff\xff\xff\xffK\x01t", "sizes are no sizes"),
        (b"K\x02K\x02t(K\x02K\x01t", b"J\0\0\0\x7fJ\0\0\0\x7ft(K\0K\0t", "unpacks to more than"),
        (b"X\1\0\0\0" + b"0", b"X\1\0\0\0" + b"9", "the archive has 0 bytes"),
    ],
    ids=["storage too long", "wider numbers", "shape", "stride", "negative stride", "endless view", "no storage"],
)
def test_tensors_that_reach_beyond_the_file_are_refused(old: bytes, new: bytes, message: str) -> None:
    """PyTorch's loader gives them what lies in memory behind the file."""
    with pytest.raises(ModelLoadError, match=message) as caught:
        read_torchscript(changed("/data.pkl", lambda data: data.replace(old, new, 1)))
    assert caught.value.hint


@pytest.mark.parametrize("limit", ["MAX_BYTES", "MAX_INSTRUCTIONS"])
def test_pickles_beyond_the_limits_are_refused(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, limit, 20)
    with pytest.raises(ModelLoadError, match=r"data\.pkl has .*more than 20"):
        read_torchscript(GOOD)


# The graphs.


class Aside(nn.Module):
    @torch.jit.export
    def never_called(self, x: Tensor, often: int) -> Tensor:
        for _ in range(often):
            if often > 2:
                torch.save(x, "nowhere")
        return torch.from_file("nowhere", False, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x


class Holds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.aside = Aside()

    def forward(self, x: Tensor) -> Tensor:
        return self.aside(x)


def test_forbidden_nodes_of_any_method_of_any_module_are_refused_and_listed() -> None:
    with pytest.raises(UnsupportedOperatorError, match="aten::from_file, aten::save") as caught:
        vet_graphs(torch.jit.script(Holds()))
    nodes = {node["operator"]: node["name"] for node in caught.value.context["nodes"]}
    assert nodes.keys() == {"aten::from_file", "aten::save"}
    assert nodes["aten::from_file"].startswith("aten::from_file %")


def test_harmless_graphs_pass() -> None:
    vet_graphs(torch.jit.load(io.BytesIO(GOOD)))


# Damage.


def outcome(data: bytes) -> Tensor | str:
    try:
        return read(data)
    except EigengateError as error:
        return error.detail


@settings(max_examples=120, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=0, max_size=3),
    st.integers(1, len(GOOD)) | st.just(len(GOOD)),
)
def test_a_damaged_archive_is_refused_or_the_very_same_function(changes: list[tuple[int, int]], kept: int) -> None:
    data = bytearray(GOOD)
    for place, value in changes:
        data[place] = value
    found = outcome(bytes(data[:kept]))
    assert isinstance(found, str) or torch.equal(found, read(GOOD))


@settings(max_examples=120, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["/data.pkl", "/constants.pkl", "test_torchscript_archives.py", "linear.py", "/version"]),
    st.integers(0, 10_000),
    st.binary(min_size=1, max_size=4),
)
def test_damaged_members_with_right_checksums_are_refused_or_run(ending: str, place: int, written: bytes) -> None:
    contents = members()
    (name,) = (name for name in contents if name.endswith(ending))
    old = contents[name]
    place %= len(old)
    outcome(packed({**contents, name: old[:place] + written + old[place + len(written) :]}))
