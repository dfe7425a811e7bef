"""The grammar of an exported program: every field that torch.export writes, and what may stand there.

What is not needed to compute is replaced by something harmless (source locations, devices, guards written as Python),
what would run code or cannot be audited is refused. Field names and numbers are those of PyTorch's own schema, major
version 8.
"""

import re
from typing import Any, Final

from eigengate.loading.exported.dtypes import DTYPES, MEMORY_FORMATS, STRIDED
from eigengate.loading.exported.grammar import (
    Check,
    Malformed,
    always,
    flag,
    forbidden,
    later,
    listing,
    mapping,
    number,
    one_of,
    optional,
    record,
    shown,
    text,
    union,
    whole,
)
from eigengate.loading.exported.notation import SYMBOL, canonical, parse

MAJOR_VERSION: Final = 8
MOST_NODES: Final = 50_000
_LARGEST_RANK: Final = 64

NAME: Final = text(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
PATH: Final = text(r"[\w.\-]{1,512}")
"""Name of a parameter or buffer. Nobody makes code of it, but it is shown."""
_TARGET: Final = text(r"[\w.#:]{1,256}")
_WORDS: Final = text(r"[^\x00-\x08\x0b-\x1f\x7f]{0,4096}")
_ANY_TEXT: Final = text(r"(?s).{0,1000000}")

_DTYPE: Final = one_of(frozenset(DTYPES), "tensor type number")
_CPU: Final = {"type": "cpu", "index": None}
_SYMBOLIC_HINT: Final = optional(union({"as_int": whole(), "as_bool": flag, "as_float": number}))
_EXPRESSION: Final = record({"expr_str": canonical, "hint": _SYMBOLIC_HINT}, {"hint": None})
SIZE: Final = union({"as_expr": _EXPRESSION, "as_int": whole(0)})
_SIZES: Final = listing(SIZE, _LARGEST_RANK)

TENSOR: Final = record(
    {
        "dtype": _DTYPE,
        "sizes": _SIZES,
        "requires_grad": flag,
        "device": always(_CPU),
        "strides": _SIZES,
        "storage_offset": SIZE,
        "layout": one_of({STRIDED: ""}, "tensor layout number"),
    }
)

_TENSOR_NAME: Final = record({"name": NAME})


def _named_or(kind: str, check: Check) -> Check:
    return union({"as_name": NAME, kind: check})


_SYM_INT: Final = _named_or("as_int", whole())
_SYM_FLOAT: Final = _named_or("as_float", number)
_SYM_BOOL: Final = _named_or("as_bool", flag)
_OPTIONAL_TENSOR: Final = union({"as_tensor": _TENSOR_NAME, "as_none": flag})


def _graph() -> Check:
    return GRAPH


def _argument() -> Check:
    return ARGUMENT


ARGUMENT: Final[Check] = union(
    {
        "as_none": flag,
        "as_tensor": _TENSOR_NAME,
        "as_tensors": listing(_TENSOR_NAME),
        "as_int": whole(),
        "as_ints": listing(whole()),
        "as_float": number,
        "as_floats": listing(number),
        "as_string": _WORDS,
        "as_strings": listing(_WORDS),
        "as_sym_int": _SYM_INT,
        "as_sym_ints": listing(_SYM_INT),
        "as_scalar_type": _DTYPE,
        "as_memory_format": one_of(frozenset(MEMORY_FORMATS), "memory format number"),
        "as_layout": one_of({STRIDED: ""}, "tensor layout number"),
        "as_device": always(_CPU),
        "as_bool": flag,
        "as_bools": listing(flag),
        "as_sym_bool": _SYM_BOOL,
        "as_sym_bools": listing(_SYM_BOOL),
        "as_graph": record({"name": NAME, "graph": later(_graph)}),
        "as_optional_tensors": listing(_OPTIONAL_TENSOR),
        "as_optional_tensor": _OPTIONAL_TENSOR,
        "as_sym_float": _SYM_FLOAT,
        "as_sym_floats": listing(_SYM_FLOAT),
        "as_complex": record({"real": number, "imag": number}),
        "as_nested_tensors": listing(listing(_TENSOR_NAME)),
        "as_int_lists": listing(listing(whole())),
        "as_float_lists": listing(listing(number)),
        "as_string_to_argument": mapping(_WORDS, later(_argument)),
        "as_custom_obj": forbidden("a custom object"),
        "as_operator": forbidden("an operator passed as a value"),
    }
)

NODE: Final = record(
    {
        "target": _TARGET,
        "inputs": listing(
            record(
                {"name": text(r"\w{0,256}"), "arg": ARGUMENT, "kind": optional(one_of({0: "", 1: "", 2: ""}, "kind"))},
                {"kind": None},
            )
        ),
        "outputs": listing(ARGUMENT),
        "metadata": always({}),
        "is_hop_single_tensor_return": optional(flag),
        "name": optional(NAME),
    },
    {"metadata": {}, "is_hop_single_tensor_return": None, "name": None},
)

GRAPH: Final[Check] = record(
    {
        "inputs": listing(ARGUMENT),
        "outputs": listing(ARGUMENT),
        "nodes": listing(NODE, MOST_NODES),
        "tensor_values": mapping(NAME, TENSOR),
        "sym_int_values": mapping(NAME, SIZE),
        "sym_bool_values": mapping(NAME, union({"as_expr": _EXPRESSION, "as_bool": flag})),
        "is_single_tensor_return": flag,
        "custom_obj_values": mapping(NAME, forbidden("a custom object")),
        "sym_float_values": mapping(NAME, union({"as_expr": _EXPRESSION, "as_float": number})),
    },
    {"is_single_tensor_return": False, "custom_obj_values": {}, "sym_float_values": {}},
)

_CONSTANT: Final = union({"as_none": flag, "as_int": whole(), "as_float": number, "as_string": _WORDS, "as_bool": flag})
_INPUT: Final = union(
    {
        "user_input": record({"arg": ARGUMENT}),
        "parameter": record({"arg": _TENSOR_NAME, "parameter_name": PATH}),
        "buffer": record({"arg": _TENSOR_NAME, "buffer_name": PATH, "persistent": flag}),
        "tensor_constant": record({"arg": _TENSOR_NAME, "tensor_constant_name": PATH}),
        "constant_input": record({"name": text(r"\w{0,256}"), "value": _CONSTANT}),
        "custom_obj": forbidden("a custom object"),
        "token": forbidden("a token, which orders side effects"),
    }
)
_OUTPUT: Final = union(
    {
        "user_output": record({"arg": ARGUMENT}),
        "buffer_mutation": record({"arg": _TENSOR_NAME, "buffer_name": PATH}),
        "parameter_mutation": record({"arg": _TENSOR_NAME, "parameter_name": PATH}),
        "user_input_mutation": record({"arg": _TENSOR_NAME, "user_input_name": NAME}),
        "loss_output": forbidden("a loss: this program is a training step"),
        "gradient_to_parameter": forbidden("a gradient: this program is a training step"),
        "gradient_to_user_input": forbidden("a gradient: this program is a training step"),
        "token": forbidden("a token, which orders side effects"),
    }
)

_CALL: Final = record(
    {
        "inputs": always([]),
        "outputs": always([]),
        "in_spec": _ANY_TEXT,
        "out_spec": _ANY_TEXT,
        "forward_arg_names": always(None),
    },
    {"inputs": [], "outputs": [], "forward_arg_names": None},
)
_MODULE: Final = record({"fqn": _ANY_TEXT, "signature": optional(_CALL)}, {"signature": None})

_GRAPH_MODULE: Final = record(
    {
        "graph": GRAPH,
        "signature": record({"input_specs": listing(_INPUT), "output_specs": listing(_OUTPUT)}),
        "module_call_graph": listing(_MODULE),
        "metadata": always({}),
        "treespec_namedtuple_fields": mapping(_ANY_TEXT, record({"field_names": listing(_WORDS)})),
    },
    {"metadata": {}, "treespec_namedtuple_fields": {}},
)


def _version(value: Any) -> Any:
    version = record({"major": whole(0), "minor": whole(0)})(value)
    if version["major"] != MAJOR_VERSION:
        raise Malformed(
            f"is {shown(value)}; only version {MAJOR_VERSION} is supported, which PyTorch 2.6 and later write"
        )
    return version


def _ranges(value: Any) -> Any:
    """Ranges of symbols; those of expressions follow from them."""
    ranges = mapping(_expression, record({"min_val": optional(whole()), "max_val": optional(whole())}))(value)
    return {name: ends for name, ends in ranges.items() if re.fullmatch(SYMBOL, name)}


def _expression(value: Any) -> str:
    parse(value)
    return str(value)


PROGRAM: Final = record(
    {
        "schema_version": _version,
        "graph_module": _GRAPH_MODULE,
        "opset_version": mapping(text(r"\w{1,64}"), whole(0)),
        "range_constraints": _ranges,
        "verifiers": listing(one_of(frozenset({"TRAINING", "ATEN"}), "dialect")),
        "torch_version": text(r"[\w.+<=\-]{0,64}"),
        "guards_code": listing(_ANY_TEXT),
    },
    {"verifiers": [], "torch_version": "<=2.4", "guards_code": []},
)
"""A whole exported program."""

PAYLOADS: Final = record(
    {
        "config": mapping(
            PATH,
            record(
                {
                    "path_name": text(r"[\w.\-]{1,256}"),
                    "is_param": flag,
                    "use_pickle": flag,
                    "tensor_meta": optional(TENSOR),
                }
            ),
        )
    }
)
"""Which tensors of an archive are stored where."""
