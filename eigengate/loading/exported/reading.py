"""From the checked document to our graph."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch

from eigengate.loading.exported.dtypes import DTYPES, MEMORY_FORMATS
from eigengate.loading.exported.graph import Graph, Node, Ref


def graph_of(written: Any, name: str = "") -> Graph:
    """The graph in a checked document."""
    return Graph(
        inputs=tuple(_input_name(argument, index) for index, argument in enumerate(written["inputs"])),
        nodes=tuple(_node(node) for node in written["nodes"]),
        outputs=tuple(value_of(argument) for argument in written["outputs"]),
        name=name,
    )


def value_of(argument: Any) -> Any:
    """An argument as a Python value; tensors and sizes that vary are ``Ref``."""
    ((kind, content),) = argument.items()
    return _VALUES[kind](content) if kind in _VALUES else content


def _input_name(argument: Any, index: int) -> str:
    value = value_of(argument)
    # A constant where an input stands was fixed when the network was exported.
    return value.name if isinstance(value, Ref) else f"constant input {index}"


def _node(written: Any) -> Node:
    return Node(
        target=written["target"],
        arguments=tuple((argument["name"], value_of(argument["arg"])) for argument in written["inputs"]),
        outputs=tuple(_output(value_of(output)) for output in written["outputs"]),
    )


def _output(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(item.name for item in value)
    return value.name if isinstance(value, Ref) else None


def _each(read: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    return lambda content: [read(item) for item in content]


def _tensor(content: Any) -> Ref:
    return Ref(content["name"])


def _number(content: Any) -> Any:
    """A number that is computed, or one that is written down."""
    ((kind, value),) = content.items()
    return Ref(value) if kind == "as_name" else float(value) if kind == "as_float" else value


_VALUES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "as_none": lambda _: None,
    "as_tensor": _tensor,
    "as_tensors": _each(_tensor),
    "as_nested_tensors": _each(_each(_tensor)),
    "as_optional_tensor": value_of,
    "as_optional_tensors": _each(value_of),
    "as_sym_int": _number,
    "as_sym_ints": _each(_number),
    "as_sym_float": _number,
    "as_sym_floats": _each(_number),
    "as_sym_bool": _number,
    "as_sym_bools": _each(_number),
    "as_float": float,
    "as_floats": _each(float),
    "as_float_lists": _each(_each(float)),
    "as_complex": lambda content: complex(float(content["real"]), float(content["imag"])),
    "as_scalar_type": lambda content: DTYPES[content],
    "as_memory_format": lambda content: MEMORY_FORMATS[content],
    "as_layout": lambda _: torch.strided,
    "as_device": lambda content: torch.device(content["type"]),
    "as_graph": lambda content: graph_of(content["graph"], content["name"]),
    "as_string_to_argument": lambda content: {name: value_of(item) for name, item in content.items()},
}
"""How the kinds of arguments are read whose content is not the value itself."""
