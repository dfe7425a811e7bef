"""A torch.export archive: which of its members are read, which are left out, and which end the reading."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from eigengate.errors import ModelLoadError
from eigengate.loading.container import Content, Member, zip_members, zip_names
from eigengate.loading.container.member import check_total
from eigengate.loading.exported.dtypes import DTYPES
from eigengate.loading.exported.grammar import EXPORT_AGAIN, cleaned
from eigengate.loading.exported.pickled import pickled_tensors
from eigengate.loading.exported.schema import PAYLOADS
from eigengate.loading.exported.stored import StoredTensor

_MARK: Final = "archive_format"
_FLAT_PROGRAM: Final = "serialized_exported_program.json"
_FLAT: Final = re.compile(
    r"version|serialized_(exported_program\.json|(state_dict|constants|example_inputs)\.(pt|json))"
)
_FLAT_EXTRA: Final = "extra_files/"

_EXTRA: Final = "extra/"
_SAMPLES: Final = re.compile(r"data/sample_inputs/[^/]+\.pt")
_PROGRAM: Final = re.compile(r"models/([\w.\-]{1,200})\.json")
_KNOWN: Final = re.compile(
    r"archive_format|archive_version|version|byteorder|\.data/(version|serialization_id)|\.format_version"
    r"|\.storage_alignment|models/[\w.\-]+\.json|data/(weights/weight|constants/tensor)_\d+"
    r"|data/(weights/[\w.\-]+_weights|constants/[\w.\-]+_constants)_config\.json"
    r"|data/(weights|constants)/[\w.\-]+\.pt"
)
_REFUSED: Final = {
    "data/aotinductor/": "compiled machine code",
    "data/constants/custom_obj_": "a pickled custom object",
    "data/constants/opaque_obj_": "a pickled object",
    "data/executorch/": "an ExecuTorch program",
}


@final
@dataclass(frozen=True)
class Archive:
    """What is read of an archive: the program, not yet looked at, and its tensors, by name."""

    program: Content
    weights: Mapping[str, StoredTensor]
    constants: Mapping[str, StoredTensor]
    left_out: tuple[str, ...]
    """Members that are not read, in words."""


def is_exported(data: bytes) -> bool:
    """Whether the bytes are an archive of torch.export, by the names in it."""
    if not data.startswith(b"PK\x03\x04"):
        return False
    try:
        names = zip_names(data)
    except ModelLoadError:
        return False
    inner = {name.partition("/")[2] for name in names}
    return _MARK in inner or _FLAT_PROGRAM in names


def open_archive(data: bytes) -> Archive:
    """Check the container and take what is needed of it.

    Raises:
        ModelLoadError: It is damaged, ambiguous or hostile, or holds what is not read here: pickled objects, compiled
            code, several programs.
    """
    members = {member.name: member for member in zip_members(data)}
    tops = {name.partition("/")[0] for name in members}
    if _FLAT_PROGRAM in members:
        archive = _flat(members)
    elif len(tops) == 1:
        archive = _foldered({name.partition("/")[2]: member for name, member in members.items()})
    else:
        raise ModelLoadError(
            f"the archive's members do not share one top folder: {sorted(tops)[:5]}", hint=EXPORT_AGAIN
        )
    stored = (*archive.weights.values(), *archive.constants.values())
    # A view may be far larger than the storage that it looks at, and is written out in full.
    check_total(sum(tensor.count * tensor.dtype.itemsize for tensor in stored))
    return archive


def _foldered(members: Mapping[str, Member]) -> Archive:
    """The layout of PyTorch 2.8 and later."""
    for name in members:
        _require_known(name)
    if "byteorder" in members and bytes(members["byteorder"].content) != b"little":
        raise ModelLoadError(
            "the archive was written on a big-endian machine", hint="Export it on a little-endian one."
        )
    programs = [match[1] for name in members if (match := _PROGRAM.fullmatch(name))]
    if len(programs) != 1:
        raise ModelLoadError(
            f"the archive holds {len(programs)} exported programs: {programs[:5]}",
            hint="Save one program: torch.export.save(torch.export.export(model, inputs), 'model.pt2').",
        )
    (model,) = programs
    return Archive(
        members[f"models/{model}.json"].content,
        _tensors(members, f"data/weights/{model}", "_weights_config.json"),
        _tensors(members, f"data/constants/{model}", "_constants_config.json"),
        _left_out([name.removeprefix(_EXTRA) for name in members if name.startswith(_EXTRA)]),
    )


def _flat(members: Mapping[str, Member]) -> Archive:
    """The layout up to PyTorch 2.7."""
    strangers = [name for name in members if not _FLAT.fullmatch(name) and not name.startswith(_FLAT_EXTRA)]
    if strangers:
        raise ModelLoadError(f"the archive has a member that is not read here: {strangers[0]!r}", hint=EXPORT_AGAIN)
    missing = [
        f"serialized_{part}.pt" for part in ("state_dict", "constants") if f"serialized_{part}.pt" not in members
    ]
    if missing:
        raise ModelLoadError(f"the archive has no member {missing[0]!r}", hint=EXPORT_AGAIN)
    return Archive(
        members[_FLAT_PROGRAM].content,
        pickled_tensors(members["serialized_state_dict.pt"].content, "serialized_state_dict.pt"),
        pickled_tensors(members["serialized_constants.pt"].content, "serialized_constants.pt"),
        _left_out([name.removeprefix(_FLAT_EXTRA) for name in members if name.startswith(_FLAT_EXTRA)]),
    )


def _require_known(name: str) -> None:
    for prefix, what in _REFUSED.items():
        if name.startswith(prefix):
            raise ModelLoadError(
                f"the archive holds {what}, which is never read here: {name!r}",
                hint="Save the exported program alone, of plain tensors: torch.export.save(program, 'model.pt2').",
            )
    if not (_KNOWN.fullmatch(name) or _SAMPLES.fullmatch(name) or name.startswith(_EXTRA)):
        raise ModelLoadError(f"the archive has a member that is not read here: {name!r}", hint=EXPORT_AGAIN)


def _left_out(extra: list[str]) -> tuple[str, ...]:
    shown = ", ".join(extra[:5]) + (f" and {len(extra) - 5} more" if len(extra) > 5 else "")
    return (*([f"extra files ({shown})"] if extra else []), "example inputs")


def _tensors(members: Mapping[str, Member], stem: str, suffix: str) -> dict[str, StoredTensor]:
    # Both at once would let two readers see two models.
    config, pickled = members.get(stem + suffix), members.get(f"{stem}.pt")
    if (config is None) == (pickled is None):
        raise ModelLoadError(f"the archive must hold either {stem}{suffix} or {stem}.pt", hint=EXPORT_AGAIN)
    if config is not None:
        return _raw_tensors(members, stem.rpartition("/")[0], bytes(config.content), stem + suffix)
    assert pickled is not None
    return pickled_tensors(pickled.content, f"{stem}.pt")


def _raw_tensors(members: Mapping[str, Member], folder: str, config: bytes, what: str) -> dict[str, StoredTensor]:
    contents: dict[str, Content] = {}
    tensors: dict[str, StoredTensor] = {}
    for name, entry in cleaned(PAYLOADS, config, what)["config"].items():
        meta = entry["tensor_meta"]
        if entry["use_pickle"] or meta is None:
            raise ModelLoadError(
                f"tensor {name!r} is stored as a pickle, which can run code and is never read here",
                hint="Export a network of plain tensors, without tensor subclasses or custom objects.",
            )
        path = f"{folder}/{entry['path_name']}"
        if path not in members:
            raise ModelLoadError(
                f"the archive has no member {path!r}, where tensor {name!r} should be", hint=EXPORT_AGAIN
            )
        if path not in contents:
            contents[path] = members[path].content
        tensors[name] = StoredTensor(
            name=name,
            storage=path,
            data=contents[path],
            dtype=DTYPES[meta["dtype"]],
            sizes=_whole(name, meta["sizes"]),
            strides=_whole(name, meta["strides"]),
            offset=_whole(name, [meta["storage_offset"]])[0],
            is_parameter=entry["is_param"],
        )
    return tensors


def _whole(name: str, sizes: list[dict[str, int]]) -> tuple[int, ...]:
    if not all("as_int" in size for size in sizes):
        raise ModelLoadError(f"tensor {name!r} has a size that varies, though it is stored", hint=EXPORT_AGAIN)
    return tuple(size["as_int"] for size in sizes)
