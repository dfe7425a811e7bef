import json

import pytest
import typer
from typer.testing import CliRunner

from eigengate.cli.compare import compare
from tests.support.reports import make_model, make_report, with_measurement

app = typer.Typer()
app.command()(compare)


@pytest.fixture
def pair(tmp_path):
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    a.write_text(make_report().model_dump_json())
    changed = with_measurement(make_report(model=make_model(format="onnx")), "attribution.robustness", 0.5)
    b.write_text(changed.model_dump_json())
    return [str(a), str(b)]


def run(*arguments):
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160"})


def row(output: str, name: str) -> str:
    return next(line for line in output.splitlines() if f" {name} " in line)


def test_the_table_shows_change_and_assessment(pair):
    done = run(*pair)
    assert done.exit_code == 0
    assert "-0.33" in row(done.stdout, "attribution.robustness")
    assert "less stable" in row(done.stdout, "attribution.robustness")
    assert "same" in row(done.stdout, "input_jacobian.operator_norm")
    assert "not comparable" in row(done.stdout, "ntk.trace")


def test_json_can_be_read_back(pair):
    changes = {c["name"]: c for c in json.loads(run(*pair, "--json").stdout)["changes"]}
    assert changes["attribution.robustness"]["change"] == pytest.approx(-0.33)
    assert "onnx" in changes["ntk.trace"]["refused"]


def test_markdown_is_a_table(pair):
    lines = [line for line in run(*pair, "--markdown").stdout.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {8}
    assert len(lines) == 2 + len(make_report().measurements)


def test_one_form_at_a_time(pair):
    assert run(*pair, "--json", "--markdown").exit_code == 2


def test_an_unreadable_report_is_a_usage_error(pair):
    assert run(pair[0], pair[1] + "x").exit_code == 2
