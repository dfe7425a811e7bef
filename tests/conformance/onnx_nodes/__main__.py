"""``python -m tests.conformance.onnx_nodes [--derivatives]``: passed/total, what is missing and why."""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence

import onnx

from tests.conformance.onnx_nodes.exceptions import FEWEST_DIFFERENTIATED, FEWEST_ORDINARY, FEWEST_PASSED
from tests.conformance.onnx_nodes.outcome import Outcome, derivative_outcomes, forward_outcomes


def main() -> int:
    """Print the tables; 1 if fewer pass than the recorded marks, or a case fails that nobody has named."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.onnx_nodes", description=__doc__)
    parser.add_argument("--derivatives", action="store_true", help="also check every derivative (two minutes)")
    options = parser.parse_args()
    good = _forward(forward_outcomes())
    if options.derivatives:
        good = _derivatives(derivative_outcomes()) and good
    return 0 if good else 1


def _forward(outcomes: Sequence[Outcome]) -> bool:
    ordinary = [outcome for outcome in outcomes if outcome.case.ordinary]
    passed, passed_ordinary = _passed(outcomes), _passed(ordinary)
    _say(f"onnx {onnx.__version__}, opset {onnx.defs.onnx_opset_version()}: the standard's node cases, run forward\n")
    _say(f"  passed            {passed:5d}/{len(outcomes)}   (mark: {FEWEST_PASSED})")
    _say(f"  ordinary tensors  {passed_ordinary:5d}/{len(ordinary)}   (mark: {FEWEST_ORDINARY})")
    _say(f"  all others        {passed - passed_ordinary:5d}/{len(outcomes) - len(ordinary)}\n")
    _table("What is missing, and why", outcomes, {"refused", "excepted", "failed"})
    failed = any(outcome.status == "failed" for outcome in outcomes)
    return passed >= FEWEST_PASSED and passed_ordinary >= FEWEST_ORDINARY and not failed


def _derivatives(outcomes: Sequence[Outcome]) -> bool:
    counts = Counter(outcome.status for outcome in outcomes)
    _say("\nDerivatives in float64: two modes, two orders, central differences, vmap\n")
    for status, count in counts.most_common():
        _say(f"  {status:<20} {count:5d}" + (f"   (mark: {FEWEST_DIFFERENTIATED})" if status == "twice" else ""))
    _say("")
    _table("What lacks a derivative, and why", outcomes, {"excepted", "failed"})
    return counts["twice"] >= FEWEST_DIFFERENTIATED and not counts["failed"]


def _passed(outcomes: Sequence[Outcome]) -> int:
    return sum(outcome.status == "passed" for outcome in outcomes)


def _table(title: str, outcomes: Sequence[Outcome], statuses: set[str]) -> None:
    grouped: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.status in statuses:
            grouped[outcome.status, outcome.reason].append(outcome.case.name.removeprefix("test_"))
    _say(f"{title}: {sum(map(len, grouped.values()))} cases")
    for (status, reason), names in sorted(grouped.items(), key=lambda item: -len(item[1])):
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        _say(f"  {len(names):4d}  {status:<9} {reason}  [{shown}]")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
