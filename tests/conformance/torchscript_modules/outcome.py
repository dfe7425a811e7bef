"""What came of one case in one form."""

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch

from eigengate.errors import ModelError
from eigengate.loading.program import Program
from eigengate.loading.torchscript import read_torchscript
from tests.conformance.torchscript_modules.case import Kind, ModuleCase, module_cases
from tests.conformance.torchscript_modules.comparison import check
from tests.conformance.torchscript_modules.derivatives import check_derivatives
from tests.conformance.torchscript_modules.exceptions import DERIVATIVES, NAMED
from tests.conformance.torchscript_modules.form import Form, archive

Status = Literal["passed", "refused", "excepted", "failed", "empty"]


@dataclass(frozen=True)
class Outcome:
    """``passed``; else ``refused`` when loading, ``excepted`` by name, ``failed`` or ``empty``, with the reason."""

    case: ModuleCase
    form: Form
    status: Status
    reason: str = ""

    @property
    def name(self) -> str:
        return f"{self.case.name} {self.form}"


@cache
def outcomes(form: Form, kind: Kind, stride: int = 1) -> tuple[Outcome, ...]:
    """Every sample of that kind (or every so-manieth) that TorchScript can express in that form."""
    return outcomes_of([case for case in module_cases() if case.kind == kind][::stride], form)


def outcomes_of(cases: Iterable[ModuleCase], form: Form) -> tuple[Outcome, ...]:
    """The same for cases of one's own choice."""
    return tuple(outcome for case in cases if (outcome := _outcome(case, form)) is not None)


def derivative_outcomes(most: int | None = None) -> tuple[Outcome, ...]:
    """Every traced case (or the first few of each module) with its derivatives up to the second, by every route."""
    places: Counter[str] = Counter()
    found = []
    for case in module_cases():
        places[case.info.name] += 1
        if most is None or places[case.info.name] <= most:
            found.append(_twice(case))
    return tuple(found)


def named_reason(name: str, reasons: Mapping[str, str]) -> str | None:
    """The recorded reason why a case cannot pass, if there is one."""
    return next((reason for pattern, reason in reasons.items() if re.search(pattern, name)), None)


def _outcome(case: ModuleCase, form: Form) -> Outcome | None:
    data = archive(case, form)
    if data is None:
        return None
    try:
        program = read_torchscript(data).program
    except ModelError as error:
        return _missing(case, form, "refused", error.detail)
    try:
        _check(case, program)
    except Exception as error:
        return _missing(case, form, "failed", f"{type(error).__name__}: {error}")
    return Outcome(case, form, "passed")


def _check(case: ModuleCase, program: Program) -> None:
    before = {name: buffer.clone() for name, buffer in case.module.named_buffers()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eager modules frown upon shapes that the samples have on purpose
        check(case, program)
    changed = [name for name, buffer in case.module.named_buffers() if not torch.equal(buffer, before[name])]
    assert not changed, f"the eager module itself changes {changed}"


def _twice(case: ModuleCase) -> Outcome:
    data = archive(case, "traced")
    assert data is not None, "every sample can be traced"
    try:
        smooth = check_derivatives(case, read_torchscript(data).program)
    except Exception as error:
        named = named_reason(case.name, DERIVATIVES)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Outcome(case, "traced", "excepted", named) if named else Outcome(case, "traced", "failed", reason)
    return Outcome(case, "traced", "passed") if smooth else Outcome(case, "traced", "empty", "it holds no number")


def _missing(case: ModuleCase, form: Form, status: Status, reason: str) -> Outcome:
    named = named_reason(f"{case.name} {form}", NAMED)
    return Outcome(case, form, "excepted", named) if named else Outcome(case, form, status, " ".join(reason.split()))
