"""Read a torch.export archive: container, document, tensors, program."""

from collections.abc import Hashable, Mapping
from typing import Any

import torch

from eigengate.errors import EigengateError, ModelLoadError
from eigengate.loading.exported.archive import Archive, open_archive
from eigengate.loading.exported.document import Document, Lifted, read_document
from eigengate.loading.exported.grammar import EXPORT_AGAIN
from eigengate.loading.exported.graph import Ref
from eigengate.loading.exported.program import ExportedProgram, Source
from eigengate.loading.exported.remarks import left_out_remark, remarks_of
from eigengate.loading.exported.runtime import ExportedRuntime
from eigengate.loading.exported.sizes import Sizes
from eigengate.loading.exported.stored import StoredTensor
from eigengate.loading.exported.structure import output_names
from eigengate.loading.program import Lowered
from eigengate.loading.torchscript.precision import Precision


def read_exported(data: bytes) -> Lowered:
    """Lower a torch.export archive; nothing in it is unpickled or run.

    Raises:
        ModelLoadError: It cannot be read, or it holds what is never read here: pickled objects, compiled code.
        UnsupportedOperatorError: Some nodes have no pure function, all of them listed.
        QuantizedModelError: The network is quantised.
    """
    archive = open_archive(data)
    document = read_document(archive.program)
    try:
        source = _source(document, archive)
        program = ExportedProgram(source, Precision(torch.device("cpu")))
    except EigengateError:
        raise
    except Exception as error:
        raise ModelLoadError(
            f"The exported program cannot be lowered: {type(error).__name__}: {error}"[:500], hint=EXPORT_AGAIN
        ) from error
    runtime = ExportedRuntime(document, archive, is_random=bool(program.drawing))
    return Lowered(program, runtime, source.sizes.names(), program.batching)


def _source(document: Document, archive: Archive) -> Source:
    lifted = document.lifted()
    names = _names(lifted, archive)
    trained = _parameters(lifted, names, archive)
    held = {names[each.value]: _stored(each, archive) for each in lifted if names[each.value] not in trained}
    values = document.user_outputs()
    labels = output_names(document.output_structure(), document.named_tuples(), len(values))
    constants = frozenset(each.value for each in lifted if names[each.value] not in trained)
    return Source(
        graph=document.graph,
        parameters={name: stored.tensor() for name, stored in trained.items()},
        buffers={name: stored.tensor() for name, stored in held.items()},
        lifted=names,
        constants=document.constants(),
        sizes=Sizes(tuple(document.inputs()), document.ranges()),
        outputs=_tensor_outputs(labels, values, document),
        mutated=frozenset(document.mutated()),
        notes=(left_out_remark(archive.left_out, document.guards), *remarks_of(document.graph, constants)),
    )


def _stored(lifted: Lifted, archive: Archive) -> StoredTensor:
    first, second = (archive.weights, archive.constants) if lifted.is_weight else (archive.constants, archive.weights)
    stored = first.get(lifted.path) or second.get(lifted.path)
    if stored is None:
        raise ModelLoadError(f"the archive does not hold the tensor {lifted.path!r}", hint=EXPORT_AGAIN)
    return stored


def _names(lifted: list[Lifted], archive: Archive) -> dict[str, str]:
    """By graph input, the first name of the tensor: tied weights have one name, as in ``named_parameters``."""
    firsts: dict[Hashable, str] = {}
    for tensors in (archive.weights, archive.constants):
        for name, stored in tensors.items():
            firsts.setdefault(stored.identity, name)
    return {each.value: firsts[_stored(each, archive).identity] for each in lifted}


def _parameters(lifted: list[Lifted], names: Mapping[str, str], archive: Archive) -> dict[str, StoredTensor]:
    """The network's parameters, those that it never uses included, in its own order."""
    said = {names[each.value] for each in lifted if each.kind == "parameter"}
    seen: set[Hashable] = set()
    found: dict[str, StoredTensor] = {}
    for name, stored in archive.weights.items():
        is_parameter = (stored.is_parameter or name in said) and stored.dtype.is_floating_point
        if is_parameter and stored.identity not in seen:
            seen.add(stored.identity)
            found[name] = stored
    return found


def _tensor_outputs(labels: tuple[str, ...], values: list[Any], document: Document) -> tuple[tuple[str, Ref], ...]:
    tensors = document.cleaned["graph_module"]["graph"]["tensor_values"]
    outputs = tuple(
        (label, value)
        for label, value in zip(labels, values, strict=True)
        if isinstance(value, Ref) and value.name in tensors
    )
    if not outputs:
        raise ModelLoadError(
            "The model returns no tensor", hint="Return a tensor, or a tuple or dictionary of tensors."
        )
    return outputs
