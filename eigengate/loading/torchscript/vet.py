"""Vet a TorchScript archive's text and pickles before PyTorch sees them: ``__setstate__`` runs while a module loads."""

import ast
import pickletools
import re
from collections.abc import Iterator
from typing import Any, Final

from eigengate.errors import EigengateError, ModelLoadError, QuantizedModelError, UnsupportedOperatorError
from eigengate.loading.torchscript.allowed import DENIED, QUANTIZED_NAMESPACES
from eigengate.loading.torchscript.archive import Archive

MAX_TEXT_BYTES: Final = 16 << 20
MAX_NAME_LENGTH: Final = 500

_LOAD_HOOKS: Final = frozenset({"__setstate__", "__getstate__", "__del__"})
_NAMESPACES: Final = frozenset({"aten", "prim"})
_GLOBALS: Final = re.compile(
    r"__torch__[\w.]* \w+|torch\._utils _rebuild_\w+|torch\.jit\._pickle \w+|torch \w+|collections OrderedDict"
)


def vet(archive: Archive) -> None:
    """Refuse what would run while loading, crash the loader, or never be allowed to run.

    Raises:
        ModelLoadError: The text is too long, cannot be parsed, or has code that runs on loading.
        QuantizedModelError: The module is a quantised one.
        UnsupportedOperatorError: Forbidden operators are named; all of them are listed.
    """
    sources = archive.code()
    if (total := sum(len(text) for text in sources.values())) > MAX_TEXT_BYTES:
        raise ModelLoadError(f"The TorchScript code has {total} characters, more than {MAX_TEXT_BYTES}")
    for name in ("data.pkl", "constants.pkl"):
        _vet_pickle(name, archive.members.get(name, b""))
    findings = {path: list(_findings(path, text)) for path, text in sources.items()}
    refused = [(path, operator) for path, found in findings.items() for operator in found]
    if refused:
        raise _refusal(refused)


def _findings(path: str, text: str) -> Iterator[str]:
    for node in ast.walk(_parse(path, text)):
        if isinstance(node, ast.FunctionDef) and node.name in _LOAD_HOOKS:
            if "quantized" in text:
                yield "quantized::packed_parameters"
                continue
            raise ModelLoadError(
                f"{path} defines {node.name}, which runs while the model is loaded",
                hint="Export the model without custom serialisation hooks.",
            )
        if isinstance(node, ast.Attribute):
            operator = _operator(_dotted(node))
            if operator is not None:
                yield operator


def _parse(path: str, text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ModelLoadError(f"{path} is not TorchScript that can be read: {error}"[:500]) from error


def _dotted(node: ast.expr) -> tuple[str, ...]:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        if len(node.attr) > MAX_NAME_LENGTH:
            raise ModelLoadError(f"The TorchScript code has a name of {len(node.attr)} characters")
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()


def _operator(names: tuple[str, ...]) -> str | None:
    """The forbidden operator or class that a dotted name in TorchScript stands for, if it is one."""
    match names:
        case ("__torch__", "torch", "classes", namespace, *_):
            return f"{namespace}::custom_class"
        case ("ops", namespace, name) if namespace not in _NAMESPACES or f"aten::{name}" in DENIED:
            return f"{namespace}::{name}"
        case ("ops", "prim", name) if "mkldnn" in name.lower() or name in ("Print", "fork", "rpc_async"):
            return f"prim::{name}"
        case ("torch", name) if f"aten::{name}" in DENIED:
            return f"aten::{name}"
    return None


def _refusal(refused: list[tuple[str, str]]) -> EigengateError:
    nodes = [
        {"name": path, "operator": operator, "domain": operator.partition("::")[0], "version": None}
        for path, operator in refused
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


def _vet_pickle(name: str, data: bytes) -> None:
    """Refuse a pickle that names anything but TorchScript's own types and tensors."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            _vet_opcode(name, opcode.name, argument)
    except ModelLoadError:
        raise
    except Exception as error:
        raise ModelLoadError(f"{name} is not a pickle that can be read: {error}"[:500]) from error


def _vet_opcode(name: str, opcode: str, argument: Any) -> None:
    if opcode == "GLOBAL" and not _GLOBALS.fullmatch(str(argument)):
        raise ModelLoadError(f"{name} names {str(argument).replace(' ', '.')!r}, which no TorchScript module needs")
    if opcode in ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4"):
        raise ModelLoadError(f"{name} uses the pickle instruction {opcode}, which TorchScript never writes")
