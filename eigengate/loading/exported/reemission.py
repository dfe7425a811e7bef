"""A new archive of a checked program: every byte of it is written here, and PyTorch may read it."""

import io
import json
import zipfile
from collections.abc import Hashable, Mapping
from typing import Any, Final

from eigengate.loading.exported.archive import Archive
from eigengate.loading.exported.document import Document
from eigengate.loading.exported.dtypes import CODES, STRIDED
from eigengate.loading.exported.graph import HIGHER_ORDER
from eigengate.loading.exported.stored import StoredTensor

_FOLDER: Final = "archive"
MODEL: Final = "model"
"""The program's name in the new archive."""
_LEAF: Final[Any] = {"type": None, "context": None, "children_spec": []}


def reemitted(document: Document, archive: Archive) -> io.BytesIO:
    """The program and its tensors as an archive that ``torch.export.load`` reads without running anything of the file.

    Inputs and outputs are tuples of tensors in it, whatever the network put together.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:

        def write(name: str, content: bytes | memoryview) -> None:
            file.writestr(zipfile.ZipInfo(f"{_FOLDER}/{name}"), bytes(content))

        write("archive_format", b"pt2")
        write("archive_version", b"0")
        write("byteorder", b"little")
        write(".data/version", b"6\n")
        write(f"models/{MODEL}.json", _json(_program(document)))
        write(f"data/sample_inputs/{MODEL}.pt", b"")
        for folder, prefix, tensors in (
            ("weights", "weight_", archive.weights),
            ("constants", "tensor_", archive.constants),
        ):
            storages = _storages(tensors)
            places = {storage: f"{prefix}{index}" for index, storage in enumerate(storages)}
            for storage, place in places.items():
                write(f"data/{folder}/{place}", storages[storage].data)
            config = {"config": {name: _payload(tensor, places[tensor.storage]) for name, tensor in tensors.items()}}
            write(f"data/{folder}/{MODEL}_{folder}_config.json", _json(config))
    buffer.seek(0)
    return buffer


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


def _program(document: Document) -> Any:
    graph_module = document.cleaned["graph_module"]
    signature = graph_module["signature"]
    inputs = sum("user_input" in spec or "constant_input" in spec for spec in signature["input_specs"])
    outputs = sum("user_output" in spec for spec in signature["output_specs"])
    call = {"inputs": [], "outputs": [], "in_spec": _arguments(inputs), "out_spec": _structure(_tuple(outputs))}
    return {
        **document.cleaned,
        "graph_module": {
            **graph_module,
            "graph": _as_written_today(graph_module["graph"]),
            "module_call_graph": [{"fqn": "", "signature": {**call, "forward_arg_names": None}}],
            "treespec_namedtuple_fields": {},
        },
    }


def _as_written_today(graph: Any) -> Any:
    """The graph with the outputs of what calls graphs one by one: PyTorch no longer reads the older way."""
    return {**graph, "nodes": [_call_as_written_today(node) for node in graph["nodes"]]}


def _call_as_written_today(node: Any) -> Any:
    if not node["target"].startswith(HIGHER_ORDER):
        return node
    inputs = [{**argument, "arg": _argument_as_written_today(argument["arg"])} for argument in node["inputs"]]
    outputs, is_single = node["outputs"], node["is_hop_single_tensor_return"]
    if is_single is None:
        is_list = len(outputs) == 1 and "as_tensors" in outputs[0]
        outputs = [{"as_tensor": tensor} for tensor in outputs[0]["as_tensors"]] if is_list else outputs
        is_single = len(outputs) == 1 and not is_list
    return {**node, "inputs": inputs, "outputs": outputs, "is_hop_single_tensor_return": is_single}


def _argument_as_written_today(argument: Any) -> Any:
    if "as_graph" not in argument:
        return argument
    inner = argument["as_graph"]
    return {"as_graph": {**inner, "graph": _as_written_today(inner["graph"])}}


def _tuple(count: int) -> Any:
    return {"type": "builtins.tuple", "context": "null", "children_spec": [_LEAF] * count}


def _arguments(count: int) -> str:
    nothing = {"type": "builtins.dict", "context": "[]", "children_spec": []}
    return _structure({"type": "builtins.tuple", "context": "null", "children_spec": [_tuple(count), nothing]})


def _structure(tree: Any) -> str:
    return json.dumps([1, tree])


def _storages(tensors: Mapping[str, StoredTensor]) -> dict[Hashable, StoredTensor]:
    """One tensor of each storage."""
    return {tensor.storage: tensor for tensor in tensors.values()}


def _payload(tensor: StoredTensor, place: str) -> Any:
    return {
        "path_name": place,
        "is_param": tensor.is_parameter,
        "use_pickle": False,
        "tensor_meta": {
            "dtype": CODES[tensor.dtype],
            "sizes": [{"as_int": size} for size in tensor.sizes],
            "requires_grad": False,
            "device": {"type": "cpu", "index": None},
            "strides": [{"as_int": stride} for stride in tensor.strides],
            "storage_offset": {"as_int": tensor.offset},
            "layout": STRIDED,
        },
    }
