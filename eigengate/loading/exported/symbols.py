"""Sizes that may vary, as numbers that depend on other sizes."""

import abc
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, final

Number = int | float | bool | Fraction

LARGEST_EXPONENT: Final = 64


class Expression(abc.ABC):
    """A number that depends on sizes."""

    @abc.abstractmethod
    def value(self, sizes: Mapping[str, int]) -> Number:
        """The number for given sizes; ``KeyError`` if one is missing, ``ArithmeticError`` if there is none."""

    @abc.abstractmethod
    def parts(self) -> Iterator["Expression"]:
        """The expression itself and all inside it."""

    @property
    def symbols(self) -> frozenset[str]:
        """Names of the sizes it depends on."""
        return frozenset(part.name for part in self.parts() if isinstance(part, Symbol))


@final
@dataclass(frozen=True)
class Symbol(Expression):
    """A size."""

    name: str
    assumptions: tuple[tuple[str, bool], ...] = ()

    def value(self, sizes: Mapping[str, int]) -> Number:
        return sizes[self.name]

    def parts(self) -> Iterator[Expression]:
        yield self

    def __str__(self) -> str:
        if not self.assumptions:
            return self.name
        return f"Symbol('{self.name}', {', '.join(f'{key}={value}' for key, value in self.assumptions)})"


@final
@dataclass(frozen=True)
class Constant(Expression):
    """A number, and how sympy writes it."""

    number: Number
    text: str

    def value(self, sizes: Mapping[str, int]) -> Number:
        return self.number

    def parts(self) -> Iterator[Expression]:
        yield self

    def __str__(self) -> str:
        return self.text


@final
@dataclass(frozen=True)
class Application(Expression):
    """A known function of other expressions."""

    function: str
    operands: tuple[Expression, ...]

    def value(self, sizes: Mapping[str, int]) -> Number:
        return FUNCTIONS[self.function](*(operand.value(sizes) for operand in self.operands))

    def parts(self) -> Iterator[Expression]:
        yield self
        for operand in self.operands:
            yield from operand.parts()

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.operands))})"


def _power(base: Any, exponent: Any) -> Number:
    if abs(exponent) > LARGEST_EXPONENT:
        raise OverflowError("a power too large for a size")
    power: Number = Fraction(1) / base ** (-exponent) if isinstance(base, int) and exponent < 0 else base**exponent
    return power


def _total(*terms: Any) -> Number:
    total: Number = sum(terms)
    return total


def _product(*factors: Any) -> Number:
    product: Number = math.prod(factors)
    return product


FUNCTIONS: Final[Mapping[str, Callable[..., Number]]] = {
    "Add": _total,
    "Mul": _product,
    "Pow": _power,
    "PowByNatural": _power,
    "FloatPow": _power,
    "Rational": Fraction,
    "FloorDiv": lambda a, b: a // b,
    "CleanDiv": lambda a, b: a // b,
    "CeilDiv": lambda a, b: -(-a // b),
    "Mod": lambda a, b: a % b,
    "PythonMod": lambda a, b: a % b,
    "ModularIndexing": lambda a, b, modulus: a // b % modulus,
    "IntTrueDiv": lambda a, b: Fraction(a, b),
    "FloatTrueDiv": lambda a, b: a / b,
    "ToFloat": float,
    "Identity": lambda a: a,
    "TruncToInt": math.trunc,
    "TruncToFloat": lambda a: float(math.trunc(a)),
    "FloorToInt": math.floor,
    "CeilToInt": math.ceil,
    "RoundToInt": round,
    "floor": math.floor,
    "ceiling": math.ceil,
    "Abs": abs,
    "Max": lambda *values: max(values),
    "Min": lambda *values: min(values),
    "Equality": lambda a, b: a == b,
    "Unequality": lambda a, b: a != b,
    "LessThan": lambda a, b: a <= b,
    "StrictLessThan": lambda a, b: a < b,
    "GreaterThan": lambda a, b: a >= b,
    "StrictGreaterThan": lambda a, b: a > b,
    "Eq": lambda a, b: a == b,
    "Ne": lambda a, b: a != b,
    "Le": lambda a, b: a <= b,
    "Lt": lambda a, b: a < b,
    "Ge": lambda a, b: a >= b,
    "Gt": lambda a, b: a > b,
    "And": lambda *values: all(values),
    "Or": lambda *values: any(values),
    "Not": lambda a: not a,
    "Where": lambda condition, yes, no: yes if condition else no,
}
"""Every function that an expression may have: what sympy and PyTorch print for sizes."""
