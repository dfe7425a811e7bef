"""The small language that torch.export writes sizes in, read without evaluating any code.

PyTorch hands these texts to sympy, which runs them. Here a text is parsed into a tree of a few known functions, and
only what is printed from such a tree ever goes on to PyTorch.
"""

import ast
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from eigengate.loading.exported.grammar import LARGEST_INTEGER, Malformed, shown
from eigengate.loading.exported.symbols import FUNCTIONS, LARGEST_EXPONENT, Application, Constant, Expression, Symbol

LONGEST_TEXT: Final = 10_000
MOST_NODES: Final = 1_000
SYMBOL: Final = r"[a-z]{1,4}\d{1,9}"

_SYMBOL: Final = re.compile(SYMBOL)
_CHARACTERS: Final = re.compile(r"[A-Za-z0-9_ ,=()'+\-*/%<>!.]*")
# Python's own parser warns about 1if and its like.
_RUN_TOGETHER: Final = re.compile(r"(?<![\w.])\d+[A-Za-z_]")
_ASSUMPTIONS: Final = frozenset({"integer", "positive", "negative", "nonnegative", "real", "nonzero", "finite"})
_DECIMAL: Final = re.compile(r"-?\d{1,40}(\.\d{0,40})?(e[+-]?\d{1,2})?")


def parse(text: Any) -> Expression:
    """The expression that a text stands for.

    Raises:
        Malformed: It is not in the language.
    """
    if not isinstance(text, str) or len(text) > LONGEST_TEXT or not _CHARACTERS.fullmatch(text):
        raise Malformed(f"is no expression of sizes: {shown(text)}")
    if _RUN_TOGETHER.search(text):
        raise Malformed(f"is no expression of sizes: {shown(text)}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if sum(1 for _ in ast.walk(tree)) > MOST_NODES:
            raise Malformed(f"has more than {MOST_NODES} parts")
        expression = _read(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Malformed(f"is no expression of sizes: {shown(text)}") from error
    _require_small_powers(expression)
    return expression


def canonical(text: Any) -> str:
    """The text of the same expression as printed here.

    Raises:
        Malformed: It is not in the language.
    """
    return str(parse(text))


def _read(node: ast.expr) -> Expression:
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return _read_call(name, node)
        case ast.Name(id="true" | "false" as word):
            return Constant(word == "true", word)
        case ast.Name(id=name):
            return Symbol(_symbol(name))
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return Application("Add", (_read(left), _negative(right)))
        case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
            if type(op) in _OPERATORS:
                return Application(_OPERATORS[type(op)], (_read(left), _read(right)))
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            return _negative(operand)
    return _integer(node)


def _read_call(function: str, node: ast.Call) -> Expression:
    match node:
        case ast.Call(args=[ast.Constant(value=str(name))], keywords=keywords) if function == "Symbol":
            return Symbol(_symbol(name), tuple(_assumption(keyword) for keyword in keywords))
        case ast.Call(args=[ast.Constant(value=str(digits))]) if function == "Float" and _DECIMAL.fullmatch(digits):
            return Constant(float(digits), f"Float('{digits}', precision=53)")
        case ast.Call(args=[argument], keywords=[]) if function == "Integer":
            return _integer(argument)
        case ast.Call(args=arguments, keywords=[]) if function in FUNCTIONS and arguments:
            return Application(function, tuple(_read(argument) for argument in arguments))
    raise Malformed(f"has a function in an expression of sizes that does not belong there: {shown(function)}")


def _negative(node: ast.expr) -> Expression:
    return Application("Mul", (_integer_of(-1), _read(node)))


def _integer(node: ast.expr) -> Constant:
    match node:
        case ast.Constant(value=number) if type(number) is int and number <= LARGEST_INTEGER:
            return _integer_of(number)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=number)) if type(number) is int:
            return _integer_of(-min(number, LARGEST_INTEGER))
    raise Malformed("has something in an expression of sizes that does not belong there")


def _integer_of(number: int) -> Constant:
    return Constant(number, f"Integer({number})")


def _symbol(name: str) -> str:
    if not _SYMBOL.fullmatch(name):
        raise Malformed(f"names a size {shown(name)}")
    return name


def _assumption(keyword: ast.keyword) -> tuple[str, bool]:
    value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
    if keyword.arg not in _ASSUMPTIONS or type(value) is not bool:
        raise Malformed(f"assumes {shown(keyword.arg)} of a size")
    return str(keyword.arg), value


def _require_small_powers(expression: Expression) -> None:
    """sympy works powers of numbers out at once, however large, and a power of a power is larger than both."""
    exponent = 1
    for part in expression.parts():
        if isinstance(part, Application) and "Pow" in part.function:
            power = part.operands[-1]
            is_written = isinstance(power, Constant)
            exponent *= max(math.ceil(abs(float(power.value({})))), 1) if is_written else LARGEST_EXPONENT + 1
    if exponent > LARGEST_EXPONENT:
        raise Malformed("has a power too large for a size")


_OPERATORS: Final[Mapping[type, str]] = {
    ast.Add: "Add",
    ast.Mult: "Mul",
    ast.Pow: "Pow",
    ast.FloorDiv: "FloorDiv",
    ast.Mod: "Mod",
    ast.Eq: "Eq",
    ast.NotEq: "Ne",
    ast.LtE: "Le",
    ast.Lt: "Lt",
    ast.GtE: "Ge",
    ast.Gt: "Gt",
}
