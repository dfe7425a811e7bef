"""Containers: every layout that PyTorch has written, what is left out and said, how tensors are stored."""

import contextlib
import io
import json
import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch._export.serde.serialize import serialize

from eigengate.errors import EigengateError, ModelLoadError
from eigengate.loading.exported import is_exported, read_exported
from eigengate.loading.exported.archive import open_archive
from tests.support.exported_networks import (
    MODEL,
    WEIGHTS,
    build,
    edited,
    exported,
    members,
    packed,
    program_of,
    replaced,
    saved,
)
from tests.support.torch_networks import build as build_torchscript
from tests.support.torch_networks import torchscript


def as_2_8(program: torch.export.ExportedProgram) -> bytes:
    """The layout of PyTorch 2.8: folders, and tensors in pickles."""
    artifact = serialize(program)
    return packed(
        {
            "archive/archive_format": b"pt2",
            "archive/archive_version": b"0",
            "archive/byteorder": b"little",
            "archive/models/model.json": artifact.exported_program,
            "archive/data/weights/model.pt": artifact.state_dict,
            "archive/data/constants/model.pt": artifact.constants,
            "archive/data/sample_inputs/model.pt": artifact.example_inputs,
        }
    )


def as_2_6(program: torch.export.ExportedProgram) -> bytes:
    """The layout up to PyTorch 2.7: no folder, older numbers of versions, fields that did not exist yet missing."""
    artifact = serialize(program)
    document = json.loads(artifact.exported_program)
    document["schema_version"] = {"major": 8, "minor": 2}
    del document["guards_code"], document["graph_module"]["treespec_namedtuple_fields"]
    for node in document["graph_module"]["graph"]["nodes"]:
        if node.pop("is_hop_single_tensor_return") is False:
            node["outputs"] = [{"as_tensors": [output["as_tensor"] for output in node["outputs"]]}]
        del node["name"]
        for argument in node["inputs"]:
            del argument["kind"]
    return packed(
        {
            "serialized_exported_program.json": json.dumps(document).encode(),
            "serialized_state_dict.pt": artifact.state_dict,
            "serialized_constants.pt": artifact.constants,
            "serialized_example_inputs.pt": artifact.example_inputs,
            "version": b"8.2",
        }
    )


@pytest.mark.parametrize("layout", [as_2_8, as_2_6])
@pytest.mark.parametrize("name", ["conv_norm", "attention", "tied", "buffers", "tokens", "regions"])
def test_older_layouts_give_the_same_program_and_witness(
    name: str, layout: Callable[[torch.export.ExportedProgram], bytes]
) -> None:
    module, inputs = build(name)
    old, new = read_exported(layout(program_of(module, inputs))), read_exported(exported(module, inputs))
    assert list(old.program.parameters) == list(new.program.parameters)
    assert old.program.buffers.keys() == new.program.buffers.keys()
    for each in (old.program, new.program):
        torch.testing.assert_close(each(each.parameters, *inputs)[0], module(*inputs), rtol=1e-5, atol=1e-6)
    # The same kernels on the same numbers.
    torch.testing.assert_close(old.runtime(*inputs), new.runtime(*inputs), rtol=0, atol=0)


def test_formats_are_told_by_content() -> None:
    program = program_of(*build("mlp"))
    assert all(is_exported(data) for data in (saved(program), as_2_8(program), as_2_6(program)))
    checkpoint = io.BytesIO()
    torch.save({"x": torch.ones(2)}, checkpoint)
    others = [torchscript(*build_torchscript("mlp")), checkpoint.getvalue(), b"", b"PK\x03\x04", b"\x08\x07\x3a\x00"]
    assert not any(is_exported(data) for data in others)


def test_what_is_left_out_is_said() -> None:
    module, inputs = build("mlp")
    data = saved(program_of(module, inputs), extra_files={"notes.txt": "trained on Tuesday", "labels.json": "[]"})
    guarded = edited(data, MODEL, lambda document: document.update(guards_code=["1 > 0", "True"]))
    first = read_exported(guarded).program.notes[0]
    for part in ("extra files (labels.json, notes.txt)", "example inputs", "source locations", "2 guard(s)"):
        assert part in first or part.replace("labels.json, notes.txt", "notes.txt, labels.json") in first
    assert "extra" not in read_exported(saved(program_of(module, inputs))).program.notes[0]


def test_nothing_of_what_is_left_out_is_written_again() -> None:
    module, inputs = build("conv_norm")
    data = saved(program_of(module, inputs), extra_files={"notes.txt": "a secret word"})
    lowered = read_exported(edited(data, MODEL, lambda document: document.update(guards_code=["a secret word"])))
    from eigengate.loading.exported.reemission import reemitted

    written = members(reemitted(lowered.runtime._document, lowered.runtime._archive).getvalue())
    assert written["archive/data/sample_inputs/model.pt"] == b""
    everything = b"\n".join(written.values())
    for left_out in (b"secret", b"stack_trace", b"nn_module_stack", b"torch.nn", b".py", b"pickle\n"):
        assert left_out not in everything
    assert json.loads(written[MODEL])["guards_code"] == []


class Views(nn.Module):
    """Parameters that are views of one storage, and a buffer that is an expanded number."""

    def __init__(self) -> None:
        super().__init__()
        whole = torch.arange(24.0).view(4, 6)
        self.left, self.right = nn.Parameter(whole[:, :2].t()), nn.Parameter(whole[1:3, 3:])
        self.register_buffer("many", torch.tensor([2.0]).expand(3))
        self.register_buffer("flags", torch.tensor([True, False, True]))
        self.register_buffer("nothing", torch.zeros(0, 3))

    def forward(self, x: Tensor) -> Tensor:
        y = x @ (self.left @ torch.ones(4, 2) @ self.right) * self.many
        return y.masked_fill(self.flags, 1.0) + self.nothing.sum()


def test_views_of_shared_storages_are_read_as_what_they_show() -> None:
    module, inputs = Views().eval(), (torch.randn(3, 2),)
    program = read_exported(exported(module, inputs)).program
    for key, value in module.named_parameters():
        assert torch.equal(program.parameters[key], value)
    for key, value in module.named_buffers():
        assert torch.equal(program.buffers[key], value)
    torch.testing.assert_close(program(program.parameters, *inputs)[0], module(*inputs))
    parameters = list(program.parameters.values())
    parameters[0].zero_()
    assert parameters[1].abs().max() > 0  # memory of their own


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_floating_point_types_are_read(dtype: torch.dtype) -> None:
    module = nn.Linear(4, 3).to(dtype).eval()
    program = read_exported(exported(module, (torch.ones(2, 4, dtype=dtype),))).program
    assert torch.equal(program.parameters["weight"], module.weight)
    assert program.inputs[0].dtype == dtype


def test_a_boolean_byte_that_is_neither_0_nor_1_is_read_as_true() -> None:
    data = exported(Views().eval(), (torch.randn(3, 2),))
    place = json.loads(members(data)[WEIGHTS])["config"]["flags"]["path_name"]
    program = read_exported(replaced(data, **{f"data__weights__{place}": b"\x07\x00\xff"})).program
    assert program.buffers["flags"].view(torch.uint8).tolist() == [1, 0, 1]


def test_every_byte_of_a_storage_counts_and_no_more() -> None:
    def reach(offset: int, sizes: list[int], strides: list[int]) -> Callable[[dict], None]:
        def edit(document: dict) -> None:
            meta = document["config"]["body.0.weight"]["tensor_meta"]
            meta.update(
                storage_offset={"as_int": offset},
                sizes=[{"as_int": size} for size in sizes],
                strides=[{"as_int": stride} for stride in strides],
            )

        return edit

    data = exported(*build("mlp"))
    assert open_archive(data).weights["body.0.weight"].sizes == (5, 6)
    open_archive(edited(data, WEIGHTS, reach(10, [2, 2], [13, 6])))  # the last element is number 29 of 30
    for offset, sizes, strides in [(11, [2, 2], [13, 6]), (1, [5, 6], [6, 1]), (0, [31], [1]), (1 << 40, [1], [1])]:
        with pytest.raises(ModelLoadError, match="reaches to element"):
            open_archive(edited(data, WEIGHTS, reach(offset, sizes, strides)))
    with pytest.raises(ModelLoadError, match="unpacks to more than"):
        open_archive(edited(data, WEIGHTS, reach(0, [1 << 40], [0])))


class TestDamage:
    """Whatever happened to a file on its way, the answer is one of ours."""

    @pytest.mark.parametrize("name", ["conv_norm", "tied"])
    @pytest.mark.parametrize("layout", [saved, as_2_8, as_2_6])
    def test_cut_and_flipped_archives(self, name: str, layout: Callable[[torch.export.ExportedProgram], bytes]) -> None:
        data = layout(program_of(*build(name)))
        random_state = random.Random(0)
        for _ in range(60):
            damaged = bytearray(data[: random_state.choice([len(data), random_state.randrange(len(data))])])
            for _ in range(random_state.randrange(4)):
                damaged[random_state.randrange(len(damaged))] = random_state.randrange(256)
            with_only_our_errors(bytes(damaged))

    def test_documents_with_values_of_the_wrong_kind(self) -> None:
        data = exported(*build("dict_output"))
        contents = members(data)
        random_state = random.Random(0)
        for _ in range(250):
            member = random_state.choice([MODEL, MODEL, MODEL, WEIGHTS])
            document = json.loads(contents[member])
            mutate(document, random_state)
            with_only_our_errors(packed({**contents, member: json.dumps(document).encode()}))

    @pytest.mark.parametrize(
        "text",
        [b"", b"[", b"[" * 100_000, b'{"a": ' * 100_000, b"\xff", b"9" * 5000, b"NaN", b"{}", b"null", b'{"a":1e999}'],
    )
    def test_documents_that_are_none(self, text: bytes) -> None:
        data = exported(*build("mlp"))
        for member in (MODEL, WEIGHTS):
            with pytest.raises(ModelLoadError):
                read_exported(packed({**members(data), member: text}))


def with_only_our_errors(data: bytes) -> None:
    """Read and run; any other error fails the test."""
    with contextlib.suppress(EigengateError):
        lowered = read_exported(data)
        inputs = [
            torch.ones([size or 2 for size in spec.shape or ()]).to(spec.dtype) for spec in lowered.program.inputs
        ]
        lowered.program(lowered.program.parameters, *inputs)


def mutate(document: object, random_state: random.Random) -> None:
    """Replace, remove or double one value somewhere in a JSON document."""
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = random_state.choice(keys)
        if isinstance(place[key], dict | list) and place[key] and random_state.random() < 0.93:
            place = place[key]
            continue
        action = random_state.randrange(3)
        if action == 0:
            del place[key]
        elif action == 1 and isinstance(place, list):
            place.append(place[key])
        else:
            place[key] = random_state.choice(
                [
                    None,
                    True,
                    0,
                    1,
                    -1,
                    7,
                    1 << 70,
                    0.5,
                    "",
                    "x",
                    "linear",
                    [],
                    {},
                    [1],
                    {"as_int": 3},
                    {"as_none": True},
                ]
            )
        return
