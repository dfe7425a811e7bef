"""A checked exported program: the cleaned document, and what of it concerns the network's inputs and outputs."""

from dataclasses import dataclass
from typing import Any, Final, final

import torch

from eigengate.errors import ModelLoadError
from eigengate.loading.container import Content
from eigengate.loading.exported.dtypes import DTYPES
from eigengate.loading.exported.grammar import EXPORT_AGAIN, cleaned
from eigengate.loading.exported.graph import Graph, Ref
from eigengate.loading.exported.notation import parse
from eigengate.loading.exported.reading import graph_of, value_of
from eigengate.loading.exported.schema import PROGRAM
from eigengate.loading.exported.symbols import Expression

_STORED: Final = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}
_MUTATIONS: Final = frozenset({"buffer_mutation", "parameter_mutation", "user_input_mutation"})


@final
@dataclass(frozen=True)
class Lifted:
    """A tensor of the file that the graph takes as an input.

    Args:
        value: Its name in the graph.
        path: Its name in the module, e.g. ``layer.weight``.
        kind: ``parameter``, ``buffer`` or ``tensor_constant``.
        is_weight: Whether it is kept among the weights; what is not persistent is kept among the constants.
    """

    value: str
    path: str
    kind: str
    is_weight: bool


@final
@dataclass(frozen=True)
class InputTensor:
    """A tensor that the caller gives: type and sizes, where a size that varies is an expression."""

    name: str
    dtype: torch.dtype
    sizes: tuple[int | Expression, ...]


@final
@dataclass(frozen=True)
class Document:
    """An exported program as checked; ``cleaned`` holds nothing that the schema does not know."""

    cleaned: Any
    graph: Graph
    guards: int
    """How many conditions written as Python were left out."""

    @property
    def _signature(self) -> Any:
        return self.cleaned["graph_module"]["signature"]

    def lifted(self) -> list[Lifted]:
        """The tensors of the file that the graph takes."""
        found = []
        for (kind, spec), name in self._specified_inputs():
            if kind in _STORED:
                _require(spec["arg"]["name"] == name, f"the graph's input {name!r} is not the one of the signature")
                is_weight = kind == "parameter" or (kind == "buffer" and spec["persistent"])
                found.append(Lifted(name, spec[_STORED[kind]], kind, is_weight))
        return found

    def inputs(self) -> list[InputTensor]:
        """The tensors that the caller gives, in order.

        Raises:
            ModelLoadError: An input is no tensor.
        """
        tensors = self.cleaned["graph_module"]["graph"]["tensor_values"]
        found = []
        for (kind, spec), name in self._specified_inputs():
            if kind != "user_input":
                continue
            value = value_of(spec["arg"])
            if value is None:
                continue
            if not isinstance(value, Ref) or "as_tensor" not in spec["arg"]:
                raise ModelLoadError(
                    f"input {name!r} of the model is no tensor; only tensors can be given",
                    hint="Wrap the model so that forward takes tensors alone.",
                )
            _require(value.name == name and name in tensors, f"nothing is known of the graph's input {name!r}")
            meta = tensors[name]
            found.append(InputTensor(name, DTYPES[meta["dtype"]], tuple(_size(size) for size in meta["sizes"])))
        return found

    def constants(self) -> dict[str, Any]:
        """Inputs that were fixed when the network was exported, by name."""
        written = self.cleaned["graph_module"]["graph"]["inputs"]
        values = {name: value_of(argument) for name, argument in zip(self.graph.inputs, written, strict=True)}
        return {name: value for name, value in values.items() if not isinstance(value, Ref)}

    def user_outputs(self) -> list[Any]:
        """What the network returns, ``Ref`` or constants, without the new values of buffers beside it."""
        specs = self._signature["output_specs"]
        outputs = self.graph.outputs
        _require(len(specs) == len(outputs), "the graph has not the outputs of the signature")
        return [value for spec, value in zip(specs, outputs, strict=True) if "user_output" in spec]

    def mutated(self) -> set[str]:
        """Paths of the parameters and buffers whose new values the graph gives back."""
        pairs = [next(iter(spec.items())) for spec in self._signature["output_specs"]]
        return {
            spec.get("buffer_name") or spec.get("parameter_name") or ""
            for kind, spec in pairs
            if kind in _MUTATIONS and kind != "user_input_mutation"
        }

    def ranges(self) -> dict[str, tuple[int | None, int | None]]:
        """Smallest and largest value of the sizes that vary, by symbol."""
        return {name: (pair["min_val"], pair["max_val"]) for name, pair in self.cleaned["range_constraints"].items()}

    def output_structure(self) -> str:
        """How the outputs were put together, as PyTorch writes it."""
        modules = self.cleaned["graph_module"]["module_call_graph"]
        calls = [module["signature"] for module in modules if module["fqn"] == "" and module["signature"]]
        return calls[0]["out_spec"] if calls else ""

    def named_tuples(self) -> dict[str, list[str]]:
        """Field names of named tuples, by type."""
        fields = self.cleaned["graph_module"]["treespec_namedtuple_fields"]
        return {name: definition["field_names"] for name, definition in fields.items()}

    def _specified_inputs(self) -> list[tuple[tuple[str, Any], str]]:
        specs = [next(iter(spec.items())) for spec in self._signature["input_specs"]]
        names = self.graph.inputs
        _require(len(specs) == len(names), "the graph has not the inputs of the signature")
        return list(zip(specs, names, strict=True))


def read_document(data: Content) -> Document:
    """Check an exported program.

    Raises:
        ModelLoadError: It is damaged, or has what is never read here.
    """
    document = cleaned(PROGRAM, bytes(data), "the exported program")
    guards = len(document["guards_code"])
    # They are Python, which PyTorch would run. Sizes are checked here against ranges and expressions.
    return Document({**document, "guards_code": []}, graph_of(document["graph_module"]["graph"]), guards)


def _size(written: Any) -> int | Expression:
    return written["as_int"] if "as_int" in written else parse(written["as_expr"]["expr_str"])


def _require(condition: bool, complaint: str) -> None:
    if not condition:
        raise ModelLoadError(f"the exported program contradicts itself: {complaint}", hint=EXPORT_AGAIN)
