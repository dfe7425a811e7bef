"""The language of sizes: what torch writes is understood as sympy understands it, and nothing else is."""

import pytest
import sympy
import torch
from torch.utils._sympy.functions import FloorDiv, Mod, PythonMod

from eigengate.loading.exported.grammar import Malformed
from eigengate.loading.exported.notation import canonical, parse

S = "Symbol('s77', positive=True, integer=True)"
T = "Symbol('s0', positive=True, integer=True)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (S, 7),
        ("s77", 7),
        (f"Mul(Integer(2), {S})", 14),
        (f"Add({S}, Mul(Integer(-1), {T}), Integer(3))", 6),
        (f"FloorDiv(Add({S}, Integer(1)), Integer(3))", 2),
        (f"Pow({S}, Integer(2))", 49),
        (f"Mul(Rational(1, 7), {S}, {T})", 4),
        (f"Max(Integer(1), Min({S}, {T}))", 4),
        (f"CeilToInt(IntTrueDiv({S}, Integer(2)))", 4),
        (f"PythonMod({S}, {T})", 3),
        ("2*s77 - s0//3 + s0**2", 29),
        ("-s77 + 10", 3),
        ("Mod(s77, 4)", 3),
        (f"Equality({S}, Integer(7))", True),
        ("s77 < s0", False),
        (f"And(StrictLessThan({T}, {S}), Not(Unequality({T}, Integer(4))))", True),
        ("Float('0.5', precision=53)", 0.5),
        ("true", True),
    ],
)
def test_an_expression_has_the_value_that_sympy_gives_it(text: str, expected: float) -> None:
    assert parse(text).value({"s77": 7, "s0": 4}) == expected
    known = {"FloorDiv": FloorDiv, "Mod": Mod, "PythonMod": PythonMod}
    functions = {name: getattr(torch.utils._sympy.functions, name) for name in ("CeilToInt", "IntTrueDiv")}
    by_sympy = sympy.sympify(canonical(text), locals={**known, **functions})
    if hasattr(by_sympy, "free_symbols"):
        by_sympy = by_sympy.subs({symbol: {"s77": 7, "s0": 4}[symbol.name] for symbol in by_sympy.free_symbols})
    assert by_sympy == expected


def test_printing_is_stable() -> None:
    text = f"Add(Mul(Integer(2), {S}), FloorDiv({T}, Integer(2)), Integer(-3))"
    assert canonical(text) == text
    assert canonical(canonical("2*s0 - 3")) == canonical("2*s0 - 3")
    assert parse(text).symbols == {"s77", "s0"}


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "Symbol('s0').__class__",
        "().__class__.__bases__",
        "eval('1')",
        "Symbol('__import__')",
        "Symbol('s0', positive=print)",
        "Symbol('s0', integer=True)(1)",
        "Integer('2')",
        "Integer(Integer)",
        "Lambda(s0, s0)",
        "Function('f')(s0)",
        "Float('1'+'2')",
        "s0 if s0 else s0",
        "[s0 for s0 in s0]",
        "lambda: s0",
        "s0 := 3",
        "f'{s0}'",
        "'s0'",
        "s0.is_integer",
        "s0[0]",
        "s0 < s1 < s2",
        "*s0",
        "s0 @ s1",
        "os",
        "print",
        "",
        "s0 s1",
        "1if 1else 2",
        "0x10",
        "1_0__0if",
        "s0\n",
        "s0;s0",
        "Add()",
        "s0**65",
        "Pow(Pow(s0, Integer(9)), Integer(9))",
        "Pow(Integer(10), Pow(Integer(10), Integer(10)))",
        "10**s0",
        "Integer(" + "9" * 30 + ")",
        "9" * 5000,
        "(" * 500 + "s0" + ")" * 500,
        "-" * 5000 + "s0",
        "+".join(["s0"] * 2000),
        "s0" + " " * 20_000,
        "ｓ0",
        None,
        3,
        ["s0"],
    ],
    ids=lambda text: repr(text)[:40],
)
def test_everything_else_is_refused(text: object) -> None:
    with pytest.raises(Malformed):
        parse(text)
