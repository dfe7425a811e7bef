"""TorchScript source text, read as a syntax tree before PyTorch reads it: how large, how deep, which operators."""

import ast
import contextlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from eigengate.errors import ModelLoadError

MAX_TEXT_BYTES: Final = 8 << 20
MAX_DEPTH: Final = 200
MAX_CALLS: Final = 200_000
MAX_CLASSES: Final = 10_000
MAX_NAME_LENGTH: Final = 200

_LOAD_HOOK: Final = re.compile(r"__(?:[gs]etstate|del)__")
_SPECIAL_FORMS: Final = frozenset({"fork", "awaitable", "rpc_async", "rpc_sync", "rpc_remote"})
"""Operators that TorchScript calls by a name of their own."""
_ENUMERATION: Final = "Enum"
_ROOTS: Final = frozenset({"torch", "ops"})
"""What operators hang on; nothing else may be done with these names, or an operator could be called by another."""
_HINT: Final = "Save the model traced instead of scripted, or audit a part of it."


def operators_in(sources: Mapping[str, str]) -> list[tuple[str, str]]:
    """Path and qualified name of every operator that the sources name, in order.

    Raises:
        ModelLoadError: The text is too long or too deep, cannot be parsed, or has code that runs on loading.
    """
    if (total := sum(len(text) for text in sources.values())) > MAX_TEXT_BYTES:
        raise ModelLoadError(f"The TorchScript code has {total:,} characters, more than {MAX_TEXT_BYTES:,}", hint=_HINT)
    for path, text in sources.items():
        _check_hooks(path, text)
    trees = {path: _nodes(path, text) for path, text in sources.items()}
    _check_counts([node for nodes in trees.values() for node in nodes])
    functions = {node.name for nodes in trees.values() for node in nodes if isinstance(node, ast.FunctionDef)}
    return [(path, operator) for path, nodes in trees.items() for operator in _operators(nodes, functions)]


def enumerations_in(sources: Mapping[str, str]) -> dict[str, tuple[object, ...]]:
    """The values of every enumeration that the sources define, by its qualified name; sources as already checked."""
    found = {}
    for path, text in sources.items():
        if f"({_ENUMERATION})" not in text:
            continue
        module = path.removeprefix("code/").removesuffix(".py").replace("/", ".")
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.ClassDef(name=name, bases=[ast.Name(id=base)], body=body) if base == _ENUMERATION:
                    found[f"{module}.{name}"] = tuple(_members(body))
    return found


def _members(body: list[ast.stmt]) -> Iterator[object]:
    for line in body:
        if isinstance(line, ast.Assign):
            with contextlib.suppress(ValueError):  # no literal: whoever names such a value is refused
                yield ast.literal_eval(line.value)


def _check_hooks(path: str, text: str) -> None:
    """Looked for in the text itself, strings and comments included: no difference between two parsers can hide one."""
    hook = _LOAD_HOOK.search(text)
    if hook is not None:
        raise ModelLoadError(
            f"{path} defines {hook[0]}, which runs while the model is loaded",
            hint="Export the model without custom serialisation hooks.",
        )


def _nodes(path: str, text: str) -> list[ast.AST]:
    """All nodes of a source; of a dotted name only its last, which holds the others."""
    try:
        waiting: list[tuple[ast.AST, int]] = [(ast.parse(text), 0)]
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ModelLoadError(
            f"{path} is not TorchScript that can be read: {error}"[:300],
            hint="Save the model again with torch.jit.save.",
        ) from error
    nodes: list[ast.AST] = []
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ModelLoadError(f"{path} nests expressions and blocks deeper than {MAX_DEPTH}", hint=_HINT)
        nodes.append(node)
        inner = () if isinstance(node, ast.Attribute) and _dotted(node) else ast.iter_child_nodes(node)
        waiting += [(child, depth + 1) for child in inner]
    return nodes


def _check_counts(nodes: Collection[ast.AST]) -> None:
    for kind, what, most in ((ast.Call, "calls", MAX_CALLS), (ast.ClassDef, "classes", MAX_CLASSES)):
        if (count := sum(isinstance(node, kind) for node in nodes)) > most:
            raise ModelLoadError(f"The TorchScript code has {count:,} {what}, more than {most:,}", hint=_HINT)
    longest = max((name for node in nodes for name in _names(node)), key=len, default="")
    if len(longest) > MAX_NAME_LENGTH:
        raise ModelLoadError(
            f"The TorchScript code has a name of {len(longest):,} characters, more than {MAX_NAME_LENGTH}: "
            f"{longest[:40]!r} …",
            hint="Give the module or function a shorter name.",
        )


def _names(node: ast.AST) -> tuple[str, ...]:
    match node:
        case ast.Name(id=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
            return (name,)
        case ast.Attribute(attr=name):
            return _dotted(node) or (name,)
    return ()


def _dotted(node: ast.expr) -> tuple[str, ...]:
    """The parts of a dotted name; none if it hangs on anything but a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()


def _operators(nodes: Iterable[ast.AST], functions: Collection[str]) -> Iterator[str]:
    for node in nodes:
        match node:
            case ast.Attribute() if names := _dotted(node):
                yield from _named(names)
            case ast.Name(id=name, ctx=ast.Load()) if name in _ROOTS:
                yield f"{name}::{name}"
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in _SPECIAL_FORMS:
                yield f"prim::{name}"
            case ast.Call(func=ast.Attribute(attr=name) as function) if name not in functions:
                # A method that no class of the archive has can only be an operator on its object.
                if not _ROOTS & set(_dotted(function)[:1]) and _dotted(function)[:1] != ("__torch__",):
                    yield f"aten::{name}"


def _named(names: tuple[str, ...]) -> Iterator[str]:
    """The operator or class that a dotted name stands for, if it stands for one."""
    match names:
        case ("torch", name):
            yield f"aten::{name}"
        case ("ops", namespace, name):
            yield f"{namespace}::{name}"
        case ("torch" | "ops" as root, *inner):
            yield f"{root}::{'.'.join(inner)}"
        case ("__torch__", "torch", "classes", namespace, *_):
            yield f"{namespace}::custom_class"
