"""Whether a value is of a TorchScript type, for the questions that a model asks while it runs."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import Tensor


def is_of_type(value: Any, type_: Any) -> bool:
    """Whether a value is of a type, containers with what they hold; a truth value is no number here."""
    test = _TESTS.get(type_.kind())
    return test is not None and test(value, type_)


def _is_plain(kind: type) -> Callable[[Any, Any], bool]:
    return lambda value, _: type(value) is kind


def _is_list(value: Any, type_: Any) -> bool:
    return isinstance(value, list) and all(is_of_type(item, type_.getElementType()) for item in value)


def _is_tuple(value: Any, type_: Any) -> bool:
    elements = type_.elements()
    return (
        isinstance(value, tuple)
        and len(value) == len(elements)
        and all(is_of_type(item, element) for item, element in zip(value, elements, strict=True))
    )


def _is_dictionary(value: Any, type_: Any) -> bool:
    key, item = type_.getKeyType(), type_.getValueType()
    return isinstance(value, dict) and all(is_of_type(k, key) and is_of_type(v, item) for k, v in value.items())


_TESTS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "AnyType": lambda *_: True,
    "TensorType": lambda value, _: isinstance(value, Tensor),
    "NoneType": lambda value, _: value is None,
    "IntType": _is_plain(int),
    "FloatType": _is_plain(float),
    "ComplexType": _is_plain(complex),
    "BoolType": _is_plain(bool),
    "StringType": _is_plain(str),
    "NumberType": lambda value, _: isinstance(value, int | float | complex) and not isinstance(value, bool),
    "OptionalType": lambda value, type_: value is None or is_of_type(value, type_.getElementType()),
    "ListType": _is_list,
    "TupleType": _is_tuple,
    "DictType": _is_dictionary,
}
