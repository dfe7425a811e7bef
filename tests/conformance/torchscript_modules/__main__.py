"""``python -m tests.conformance.torchscript_modules [--derivatives]``: passed/total, what is missing and why."""

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch

from tests.conformance.torchscript_modules.case import Kind, module_cases
from tests.conformance.torchscript_modules.exceptions import FEWEST_TWICE, MARKS
from tests.conformance.torchscript_modules.form import FORMS, Form
from tests.conformance.torchscript_modules.outcome import Outcome, derivative_outcomes, outcomes, outcomes_of

Found = Mapping[tuple[Form, Kind], Sequence[Outcome]]

_TITLES: Mapping[Kind, str] = {"plain": "tensors in, a tensor out", "extra": "beyond: keywords, tuples"}


def main() -> int:
    """Print the tables; 1 if fewer pass than the recorded marks, or a case fails that nobody has named."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.torchscript_modules", description=__doc__)
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--only", metavar="MODULE", help="samples of one module, e.g. nn.LSTM, without marks")
    extent.add_argument("--derivatives", action="store_true", help="also every derivative up to the second (minutes)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    _say(f"torch {torch.__version__}: its own module samples, float32, evaluation mode;")
    _say("outputs, derivatives by inputs and by parameters against the eager module's\n")
    found = _everything() if options.only is None else _one_module(options.only)
    marks = MARKS if options.only is None else {}
    for (form, kind), results in found.items():
        line = f"  {form:<9} {_passed(results):5d}/{len(results):<5d} {_TITLES[kind]}"
        _say(f"{line:<52} (mark: {marks[form, kind]})" if marks else line)
    everything = [outcome for results in found.values() for outcome in results]
    _table(everything)
    below = any(_passed(results) < marks.get(which, 0) for which, results in found.items())
    bad = below or any(outcome.status in ("failed", "refused") for outcome in everything)
    return 1 if bad or (options.derivatives and not _derivatives()) else 0


def _derivatives() -> bool:
    results = derivative_outcomes()
    _say("\nBoth modes and both orders in float64, against each other, differences and vmap; traced\n")
    _say(f"  {_passed(results):5d}/{len(results)}   (mark: {FEWEST_TWICE})")
    _table(results)
    return _passed(results) >= FEWEST_TWICE and not any(outcome.status == "failed" for outcome in results)


def _everything() -> Found:
    return {(form, kind): outcomes(form, kind) for kind in _TITLES for form in FORMS}


def _one_module(name: str) -> Found:
    cases = [case for case in module_cases() if case.info.name == name]
    return {
        (form, kind): outcomes_of([case for case in cases if case.kind == kind], form)
        for kind in _TITLES
        for form in FORMS
    }


def _passed(results: Sequence[Outcome]) -> int:
    return sum(outcome.status == "passed" for outcome in results)


def _table(results: Sequence[Outcome]) -> None:
    grouped: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for outcome in results:
        if outcome.status != "passed":
            grouped[outcome.status, outcome.reason[:160]].append(outcome.name)
    _say(f"\nWhat is missing, and why: {sum(map(len, grouped.values()))} cases")
    for (status, reason), names in sorted(grouped.items(), key=lambda item: -len(item[1])):
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        _say(f"  {len(names):4d}  {status:<9} {reason}  [{shown}]")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
