"""Containers: other files are told apart, and what is damaged or hostile is refused before PyTorch sees it."""

import contextlib
import io
import pickle
import zipfile

import pytest
import torch
from torch import Tensor, nn

from eigengate.errors import ModelLoadError, QuantizedModelError, UnsupportedFormatError, UnsupportedOperatorError
from eigengate.loading.torchscript import ArchiveKind, is_torchscript, read_torchscript, sniff
from tests.support.bundles import tarred
from tests.support.torch_networks import NETWORKS, saved, torchscript


@pytest.fixture(scope="module")
def good() -> bytes:
    return torchscript(*NETWORKS["mlp"]())


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def archive(contents: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in contents:
            file.writestr(zipfile.ZipInfo(name), data, compression)
    return buffer.getvalue()


def changed(data: bytes, **replaced: bytes) -> bytes:
    """The archive with the members whose names end as the keywords say (``__`` for a dot) replaced."""
    endings = {key.replace("__", "."): value for key, value in replaced.items()}
    return archive(
        [
            (name, next((new for ending, new in endings.items() if name.endswith(ending)), old))
            for name, old in members(data).items()
        ]
    )


def test_torchscript_is_known_by_its_content(good):
    assert is_torchscript(good)
    assert is_torchscript(archive(list(members(good).items()), zipfile.ZIP_DEFLATED))
    assert not is_torchscript(b"\x08\x07\x12\x07pytorch")
    assert not is_torchscript(b"")


def eager_checkpoint() -> bytes:
    buffer = io.BytesIO()
    torch.save(nn.Linear(2, 2).state_dict(), buffer)
    return buffer.getvalue()


def package() -> bytes:
    return archive([("model/.data/extern_modules", b"torch"), ("model/model.py", b""), ("model/data.pkl", b"")])


def exported_program() -> bytes:
    return archive([("model/archive_format", b"pt2"), ("model/data/weights/w", b"")])


def flat_exported_program() -> bytes:
    return archive([("serialized_exported_program.json", b"{}"), ("serialized_state_dict.pt", b"")])


def legacy_checkpoint() -> bytes:
    buffer = io.BytesIO()
    torch.save(nn.Linear(2, 2).state_dict(), buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def tar_checkpoint() -> bytes:
    """What torch.save wrote before PyTorch 0.2."""
    return tarred({"sys_info": b"", "pickle": b"\x80\x02N.", "tensors": b"", "storages": b""})


def first_torchscript() -> bytes:
    return archive([("m/version", b"1"), ("m/model.json", b"{}"), ("m/code/m.py", b""), ("m/tensors/0", b"")])


@pytest.mark.parametrize(
    ("data", "kind", "hint"),
    [
        (eager_checkpoint(), ArchiveKind.EAGER_CHECKPOINT, "torch.jit.save"),
        (pickle.dumps({"weight": 1}), ArchiveKind.BARE_PICKLE, "Pickles execute code"),
        (package(), ArchiveKind.TORCH_PACKAGE, "runs Python code"),
        (exported_program(), ArchiveKind.EXPORTED_PROGRAM, "load_model"),
        (flat_exported_program(), ArchiveKind.EXPORTED_PROGRAM, "load_model"),
        (legacy_checkpoint(), ArchiveKind.EAGER_CHECKPOINT, "torch.jit.save"),
        (tar_checkpoint(), ArchiveKind.EAGER_CHECKPOINT, "torch.jit.save"),
        (first_torchscript(), ArchiveKind.OLDEST_TORCHSCRIPT, "save it again"),
    ],
    ids=["eager", "pickle", "package", "pt2", "flat_pt2", "legacy", "tar", "first_torchscript"],
)
def test_other_pytorch_files_are_refused_with_what_to_export_instead(data, kind, hint):
    assert sniff(data) is kind
    with pytest.raises(UnsupportedFormatError, match="Not a TorchScript archive") as caught:
        read_torchscript(data)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_truncated_archive_is_refused(good, kept):
    with pytest.raises(ModelLoadError, match="damaged or cut short"):
        read_torchscript(good[: int(len(good) * kept)])


def test_a_flipped_bit_in_a_weight_is_refused(good):
    weights = members(good)[next(name for name in members(good) if name.endswith("/data/0"))]
    place = good.index(weights)
    broken = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
    with pytest.raises(ModelLoadError, match="Bad CRC-32"):
        read_torchscript(broken)


@pytest.mark.parametrize("double", ["{}", "{upper}"], ids=["same", "other_case"])
def test_duplicate_members_are_refused(good, double):
    name = next(name for name in members(good) if name.endswith("constants.pkl"))
    again = double.format(name, upper=name.upper())
    with pytest.warns(UserWarning, match="Duplicate") if again == name else contextlib.nullcontext():
        data = archive([*members(good).items(), (again, b"")])
    with pytest.raises(ModelLoadError, match="two members named"):
        read_torchscript(data)


@pytest.mark.parametrize("path", ["archive/../../etc/passwd", "archive/a\\b", "archive/a\nb"])
def test_members_with_unsafe_paths_are_refused(good, path):
    with pytest.raises(ModelLoadError, match="unsafe path"):
        read_torchscript(archive([*members(good).items(), (path, b"")]))


def test_members_outside_the_top_folder_are_refused(good):
    with pytest.raises(ModelLoadError, match="one top folder"):
        read_torchscript(archive([*members(good).items(), ("other/version", b"3")]))


def test_encrypted_members_are_refused(good):
    data = bytearray(good)
    place = data.rindex(b"PK\x01\x02")
    data[place + 8] |= 1
    with pytest.raises(ModelLoadError, match="encrypted"):
        read_torchscript(bytes(data))


def test_a_decompression_bomb_is_refused(good):
    bomb = ("archive/data/99", bytes(32 << 20))
    with pytest.raises(ModelLoadError, match="inflates"):
        read_torchscript(archive([*members(good).items(), bomb], zipfile.ZIP_DEFLATED))


def test_an_archive_pytorch_cannot_load_is_refused_without_its_traceback(good):
    with pytest.raises(ModelLoadError, match="PyTorch cannot load"):
        read_torchscript(changed(good, **{"/data__pkl": b"\x80\x02}."}))


def test_code_that_is_too_deep_to_parse_is_refused(good):
    source = next(name for name in members(good) if name.endswith(".py"))
    deep = b"def forward(self):\n  return " + b"(" * 50_000 + b"1" + b")" * 50_000
    data = archive([(name, deep if name == source else old) for name, old in members(good).items()])
    with pytest.raises(ModelLoadError, match="not TorchScript that can be read"):
        read_torchscript(data)


def test_a_pickle_that_names_foreign_functions_is_refused(good):
    evil = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."
    with pytest.raises(ModelLoadError, match=r"names 'posix.system'"):
        read_torchscript(changed(good, **{"constants__pkl": evil}))


class RunsOnLoad(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.k = 3

    @torch.jit.export
    def __getstate__(self) -> tuple[int, bool]:
        return (self.k, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[int, bool]) -> None:
        self.k = state[0]
        self.training = state[1]

    def forward(self, x: Tensor) -> Tensor:
        return x * self.k


def test_code_that_runs_while_loading_is_refused():
    with pytest.raises(ModelLoadError, match=r"__[gs]etstate__, which runs"):
        read_torchscript(saved(torch.jit.script(RunsOnLoad())))


class ReadsFile(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.from_file("/etc/passwd", False, 8, dtype=torch.uint8) + x


class Leaks(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.inductor._reinterpret_tensor(x, [64], [1], 0).clone()


class TurnsGradientsOff(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        torch.set_grad_enabled(False)
        return x


@pytest.mark.parametrize(
    ("network", "operator"),
    [
        (ReadsFile(), "aten::from_file"),
        (Leaks(), "inductor::_reinterpret_tensor"),
        (TurnsGradientsOff(), "aten::set_grad_enabled"),
    ],
    ids=["from_file", "reinterpret", "set_grad_enabled"],
)
def test_operators_that_reach_beyond_the_network_are_refused_by_name(network, operator):
    with pytest.raises(UnsupportedOperatorError, match=operator) as caught:
        read_torchscript(saved(torch.jit.script(network)))
    assert operator in [node["operator"] for node in caught.value.context["nodes"]]


def test_leftovers_of_optimize_for_inference_are_refused_by_name():
    network, _ = NETWORKS["lenet"]()
    optimised = torch.jit.optimize_for_inference(torch.jit.script(network))
    if "mkldnn" not in str(optimised.graph):
        pytest.skip("this build of PyTorch prepacks nothing")
    with pytest.raises(UnsupportedOperatorError, match="mkldnn"):
        read_torchscript(saved(optimised))


def test_packed_quantised_parameters_are_refused_as_quantised(good):
    source = next(name for name in members(good) if name.endswith(".py"))
    text = b"def forward(self, x: Tensor) -> Tensor:\n  return ops.quantized.linear(x, self.packed, 1.0, 0)\n"
    data = archive([(name, text if name == source else old) for name, old in members(good).items()])
    with pytest.raises(QuantizedModelError, match="quantized::linear"):
        read_torchscript(data)


@pytest.mark.parametrize("data", [b"hello", bytes(64), archive([("a/hello.txt", b"hi")])])
def test_what_is_neither_format_is_refused_with_its_first_bytes_and_what_to_export(data):
    with pytest.raises(UnsupportedFormatError, match="the file starts with") as caught:
        read_torchscript(data)
    assert "torch.onnx.export" in caught.value.hint
