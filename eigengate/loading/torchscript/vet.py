"""Refuse what may not stand in a TorchScript model: in its text before PyTorch loads it, in its graphs before it runs.

The text must come first, since ``__setstate__`` runs while a module loads; the graphs have the last word on operators,
since there is no other way to name one in them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from eigengate.errors import EigengateError, QuantizedModelError, UnsupportedOperatorError
from eigengate.loading.torchscript.allowed import QUANTIZED_NAMESPACES, is_admitted
from eigengate.loading.torchscript.archive import Archive
from eigengate.loading.torchscript.no_gradients import GRAD_MODE, SWITCH
from eigengate.loading.torchscript.pickles import check_instructions, check_tensors
from eigengate.loading.torchscript.sources import enumerations_in, operators_in
from eigengate.loading.torchscript.torch_graph import label, walk


def vet(archive: Archive) -> None:
    """Refuse what would run while loading, crash the loader, read memory that is not the file's, or may never run.

    Raises:
        ModelLoadError: The text or a pickle is too long or too deep, cannot be read, or has what runs on loading.
        QuantizedModelError: The module is a quantised one.
        UnsupportedOperatorError: Forbidden operators are named; all of them are listed.
    """
    named = operators_in(archive.code())
    _refuse([each for each in named if not is_admitted(each[1]) and each != (GRAD_MODE, SWITCH)])
    enumerations = enumerations_in(archive.code())
    for stem in ("data", "constants"):
        pickled = archive.members.get(f"{stem}.pkl", b"")
        check_instructions(f"{stem}.pkl", pickled)
        check_tensors(f"{stem}.pkl", pickled, archive.storages(stem), enumerations)
    if archive.traced_inputs is not None:
        check_instructions("traced_inputs.pkl", archive.traced_inputs)


def vet_graphs(module: torch.jit.ScriptModule) -> None:
    """Refuse a loaded module whose methods, called or not, hold a forbidden operator.

    Raises:
        QuantizedModelError: The module is a quantised one.
        UnsupportedOperatorError: All such nodes are listed.
    """
    found = [node for graph in _graphs(module) for node in _forbidden(graph)]
    _refuse(list(dict.fromkeys(found)))


def _graphs(module: torch.jit.ScriptModule) -> Iterator[torch._C.Graph]:
    """The graphs of the module's methods with all that they call in them, then those of methods nobody may call."""
    own: Any = module._c
    yield from (own._get_method(name).inlined_graph for name in own._method_names())
    seen = {str(own._type().qualified_name())}  # modules of one type have the same methods
    for part in module.modules():
        inner: Any = part._c
        kind = str(inner._type().qualified_name())
        if kind not in seen:
            seen.add(kind)
            yield from (inner._get_method(name).graph for name in inner._method_names())


def _forbidden(graph: torch._C.Graph) -> Iterator[tuple[str, str]]:
    for node in walk(graph):
        if not is_admitted(node.kind()):
            outputs = list(node.outputs())
            yield (label(node.kind(), outputs[0]) if outputs else node.kind()), node.kind()


def _refuse(refused: Sequence[tuple[str, str]]) -> None:
    if refused:
        raise _refusal(refused)


def _refusal(refused: Sequence[tuple[str, str]]) -> EigengateError:
    nodes = [
        {"name": place, "operator": operator, "domain": operator.partition("::")[0], "version": None}
        for place, operator in refused
    ]
    listed = ", ".join(sorted({operator for _, operator in refused}))
    if any(operator.partition("::")[0] in QUANTIZED_NAMESPACES for _, operator in refused):
        return QuantizedModelError(
            f"The model is quantised: {listed}",
            hint="Audit the floating point model it was made from.",
            context={"nodes": nodes},
        )
    return UnsupportedOperatorError(
        f"The model's code uses operators that may not run here: {listed}",
        hint="Export the plain model in evaluation mode, without torch.jit.optimize_for_inference.",
        context={"nodes": nodes},
    )
