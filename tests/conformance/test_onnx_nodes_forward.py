"""The ONNX standard's own cases, forward."""

import re
import subprocess
import sys

import onnx
import pytest

from eigengate.loading.onnx.foreign import foreign_operators
from eigengate.loading.onnx.functions import standard_function
from eigengate.loading.onnx.graph import Node
from eigengate.loading.onnx.refusals import OLDEST_OPSET
from eigengate.loading.onnx.registry import CHECKED_OPSET, find_operator
from tests.conformance.onnx_nodes.exceptions import FEWEST_ORDINARY, FEWEST_PASSED, FORWARD
from tests.conformance.onnx_nodes.outcome import Outcome, forward_outcomes

# Why a case may be refused when it is loaded; anything else is an operator that we lack.
REFUSED_ON_PURPOSE = re.compile(
    r"operator is refused: |element type (STRING|FLOAT8\w+|FLOAT4E2M1|U?INT[24])$|no map|type map_type"
)


def having(status: str) -> list[Outcome]:
    return [outcome for outcome in forward_outcomes() if outcome.status == status]


def test_no_case_fails_that_is_not_named() -> None:
    assert {outcome.case.name: outcome.reason for outcome in having("failed")} == {}


def test_whatever_is_refused_is_refused_on_purpose() -> None:
    lacking = {o.case.name: o.reason for o in having("refused") if not REFUSED_ON_PURPOSE.search(o.reason)}
    assert lacking == {}


def test_as_many_cases_pass_as_are_recorded() -> None:
    passed = having("passed")
    assert len(passed) >= FEWEST_PASSED
    assert sum(outcome.case.ordinary for outcome in passed) >= FEWEST_ORDINARY


@pytest.mark.parametrize("pattern", FORWARD)
def test_every_exception_is_needed(pattern: str) -> None:
    assert any(re.search(pattern, outcome.case.name) for outcome in having("excepted"))


def versions_in_use(newest: int) -> list[tuple[str, int]]:
    """Every version of every operator of the standard domain that a model of opset 7 to ``newest`` may mean."""
    schemas = [schema for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""]
    meant = set()
    for name in {schema.name for schema in schemas}:
        history = sorted((schema.since_version, schema.deprecated) for schema in schemas if schema.name == name)
        for (since, deprecated), until in zip(history, [*(s for s, _ in history[1:]), newest + 1], strict=True):
            if until > OLDEST_OPSET and not deprecated:
                meant.add((name, max(since, OLDEST_OPSET)))
    return sorted(meant)


def test_every_version_of_every_operator_has_a_function_or_is_refused_on_purpose() -> None:
    silent = [
        (name, version)
        for name, version in versions_in_use(CHECKED_OPSET)
        if name not in foreign_operators()
        and name != "Constant"  # read as a literal
        and find_operator(Node("", name, version, "", (), ())) is None
        and standard_function("", name, version) is None
    ]
    assert silent == []


def test_the_command_prints_what_passes_and_what_is_missing() -> None:
    command = [sys.executable, "-m", "tests.conformance.onnx_nodes"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = len(having("passed"))
    assert f"{passed}/{len(forward_outcomes())}" in done.stdout
    assert "What is missing, and why" in done.stdout
