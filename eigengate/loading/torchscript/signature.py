"""What a network takes and gives: names, types and shapes of its inputs, names and places of its outputs."""

import io
import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from torch import Tensor

from eigengate.errors import ModelLoadError
from eigengate.loading.program import TensorSpec
from eigengate.loading.torchscript.embedding import SHAPE_READERS, indices_of
from eigengate.loading.torchscript.ir import Network
from eigengate.loading.torchscript.scalars import DTYPE_CODES

_CASTS: Final = frozenset({"aten::to", "aten::_to_copy"})
_NAMED: Final = "NamedTuple("
_FIELD: Final = re.compile(r"(\w+) : ")
# What a field's own type has in brackets.
_NESTED: Final = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")


@final
@dataclass(frozen=True)
class Output:
    """One output tensor: its public name, the value that holds it, and the way to it inside that value."""

    label: str
    name: str
    path: tuple[Any, ...] = ()


def outputs_of(network: Network) -> tuple[Output, ...]:
    """All output tensors of a network; tuples, lists and dictionaries are flattened.

    Raises:
        ModelLoadError: The result has no tensor, or its structure is not fixed.
    """
    (result,) = network.body.returns
    found = [
        Output(_label(network, output), output.name, output.path)
        for output in _flatten(network, result, network.result)
    ]
    if not found:
        raise ModelLoadError(
            f"The model returns no tensor but {network.result}", hint="Return a tensor or a tuple of tensors."
        )
    labels = [output.label for output in found]
    return tuple(
        output if labels.count(output.label) == 1 and output.label else Output(f"output_{k}", output.name, output.path)
        for k, output in enumerate(found)
    )


def _flatten(network: Network, name: str, type_: Any) -> Iterator[Output]:
    elements = network.tuples.get(name)
    if name in network.known:
        return
    if elements is not None:
        fields = _fields(type_)
        names = fields if len(fields) == len(elements) else [""] * len(elements)
        for label, element in zip(names, elements, strict=True):
            yield from (
                Output(label or inner.label, inner.name, inner.path) for inner in _flatten(network, element, None)
            )
    elif name in network.dictionaries:
        for key, element in network.dictionaries[name].items():
            yield from (Output(key, inner.name, inner.path) for inner in _flatten(network, element, None))
    elif network.kinds.get(name) in ("TensorType", "OptionalType"):
        yield Output("", name)
    elif type_ is not None and type_.kind() == "TupleType" and all(e.kind() == "TensorType" for e in type_.elements()):
        fields = _fields(type_) or [""] * len(type_.elements())
        yield from (Output(label, name, (index,)) for index, label in enumerate(fields))
    elif network.kinds.get(name) in ("ListType", "DictType", "TupleType"):
        raise ModelLoadError(
            f"The model returns a {network.kinds[name].removesuffix('Type').lower()} whose content is not fixed",
            hint="Return a tensor or a tuple of tensors.",
        )


def _fields(type_: Any) -> list[str]:
    """The names of a named tuple's elements, which TorchScript tells only in print; none of any other type's."""
    text = type_.str() if type_ is not None and type_.kind() == "TupleType" else ""
    return _FIELD.findall(_NESTED.sub("", text.removeprefix(_NAMED))) if text.startswith(_NAMED) else []


def _label(network: Network, output: Output) -> str:
    if output.label or output.path:
        return output.label
    stem = output.name.partition(".")[0]
    return "" if stem.isdigit() or output.name in network.body.parameters else stem


def inputs_of(
    network: Network, names: tuple[str, ...], traced: bytes | None, weights: Iterable[Tensor]
) -> tuple[TensorSpec, ...]:
    """Specifications of a network's inputs: from the recorded trace where there is one, else from use and weights."""
    examples = _traced_examples(traced) if traced is not None else []
    floating, indices = common_type(weights), indices_of(network)
    if floating.itemsize < 4 and _rounds_inputs(network, floating):
        floating = torch.float32
    specs = []
    for index, (name, value) in enumerate(zip(names, network.body.parameters, strict=True)):
        if index < len(examples):
            dtype, shape = examples[index]
            specs.append(TensorSpec(name, dtype, shape))
        else:
            specs.append(TensorSpec(name, torch.int64 if value in indices else floating, is_declared=False))
    return tuple(specs)


def _rounds_inputs(network: Network, half: torch.dtype) -> bool:
    """Whether every input is cast to a type on all of its ways to weights: such weights do not tell the input's own."""
    carried, weights = set(network.body.parameters), {*network.parameters, *network.buffers}
    rounds = False
    for node in network.body.nodes:
        if carried.isdisjoint(node.inputs):
            continue
        if node.operator in _CASTS and any(network.known.get(name) == DTYPE_CODES[half] for name in node.inputs[1:]):
            rounds = True
        elif not weights.isdisjoint(node.inputs):
            return False
        elif node.operator not in SHAPE_READERS:
            carried.update(node.outputs)
    return rounds


def common_type(weights: Iterable[Tensor]) -> torch.dtype:
    """The floating point type of all weights that have one, float32 if there is none or more than one."""
    types = {weight.dtype for weight in weights if weight.is_floating_point()}
    return types.pop() if len(types) == 1 else torch.float32


@final
@dataclass(frozen=True)
class _TensorRecord:
    dtype: torch.dtype
    shape: tuple[int, ...]


_STORAGES: Final[Mapping[str, torch.dtype]] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def _rebuild(storage: torch.dtype, _offset: int, size: tuple[int, ...], *_: Any) -> _TensorRecord:
    return _TensorRecord(storage, tuple(size))


class _ShapeReader(pickle.Unpickler):
    """Reads types and shapes; the only names it knows are our own functions, so nothing else can be called."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if (module, name) == ("torch.jit._pickle", "restore_type_tag"):
            return lambda value, _: value
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        return pid[1]


def _traced_examples(traced: bytes) -> list[tuple[torch.dtype, tuple[int, ...]]]:
    """Types and shapes of the inputs a module was traced with; empty where the record is not understood."""
    try:
        recorded = _ShapeReader(io.BytesIO(traced)).load()["forward"]
    except Exception:
        return []
    records = [record for record in recorded if isinstance(record, _TensorRecord)]
    return [(record.dtype, record.shape) for record in records]
