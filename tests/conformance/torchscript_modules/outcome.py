"""What came of one case in one form."""

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch

from eigengate.errors import ModelError
from eigengate.loading.program import Program
from eigengate.loading.torchscript import read_torchscript
from tests.conformance.torchscript_modules.case import Kind, ModuleCase, module_cases
from tests.conformance.torchscript_modules.comparison import check
from tests.conformance.torchscript_modules.exceptions import NAMED
from tests.conformance.torchscript_modules.form import Form, archive

Status = Literal["passed", "refused", "excepted", "failed"]


@dataclass(frozen=True)
class Outcome:
    """``passed``; else ``refused`` when loading, ``excepted`` by name, or ``failed``, with the reason."""

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


def named_reason(name: str) -> str | None:
    """The recorded reason why a case cannot pass, if there is one."""
    return next((reason for pattern, reason in NAMED.items() if re.search(pattern, name)), None)


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


def _missing(case: ModuleCase, form: Form, status: Status, reason: str) -> Outcome:
    named = named_reason(f"{case.name} {form}")
    return Outcome(case, form, "excepted", named) if named else Outcome(case, form, status, " ".join(reason.split()))
