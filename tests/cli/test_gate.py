import json
from xml.etree import ElementTree as ET

import pytest
import typer
from typer.testing import CliRunner

from eigengate.cli.gate import gate
from eigengate.contract import StabilityReport, Verdict
from tests.support.reports import make_report, with_measurement

app = typer.Typer()
app.command()(gate)

POLICY = """\
[baseline]
if_none = "skip"

[[condition]]
id = "sharp"
metric = "hessian.lambda_max"
op = "<="
threshold = {limit}
level = "{level}"
advice = "look at the learning rate"

[[condition]]
id = "worse"
metric = "ntk.trace"
baseline = {{ max_relative_increase = 0.1 }}
"""


@pytest.fixture
def files(tmp_path):
    def write(name: str, content: str | StabilityReport) -> str:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else content.model_dump_json())
        return str(path)

    return write


def run(*arguments, input=None):
    return CliRunner().invoke(app, list(map(str, arguments)), input=input)


@pytest.mark.parametrize(
    ("limit", "level", "code", "word"),
    [
        (9.0, "error", 0, "PASS"),
        (1.0, "warn", 0, "WARN"),
        (1.0, "error", 1, "FAIL"),
        (3.6, "error", 5, "INDETERMINATE"),
        (9.0, "off", 5, "INDETERMINATE"),
    ],
)
def test_the_exit_code_is_the_verdict(files, limit, level, code, word):
    report, policy = files("r.json", make_report()), files("p.toml", POLICY.format(limit=limit, level=level))
    done = run(report, "--policy", policy)
    assert done.exit_code == code
    assert done.stdout.startswith(word)


def test_inspect_mode_exits_zero_and_says_so(files):
    policy = 'mode = "inspect"\n' + POLICY.format(limit=1.0, level="error")
    done = run(files("r.json", make_report()), "--policy", files("p.toml", policy))
    assert done.exit_code == 0
    assert "FAIL (inspect mode, not enforced)" in done.stdout


def test_a_preset_is_a_policy(files):
    assert run(files("r.json", make_report()), "--policy", "builtin:recommended").exit_code == 0


@pytest.mark.parametrize(
    ("report", "policy", "message"),
    [
        ("{}", POLICY.format(limit=1, level="error"), "is not a stability report"),
        ("no json", POLICY.format(limit=1, level="error"), "is not a stability report"),
        (make_report(), POLICY.format(limit=1, level="eror"), "p.toml:9:1: condition[0].level"),
        (make_report(), "schema =", "not valid TOML"),
    ],
)
def test_unusable_files_are_usage_errors(files, report, policy, message):
    done = run(files("r.json", report), "--policy", files("p.toml", policy))
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())


def test_missing_files_are_usage_errors(files):
    report = files("r.json", make_report())
    for arguments in ([report + "x", "--policy", "builtin:strict"], [report, "--policy", "nowhere.toml"], [report]):
        assert run(*arguments).exit_code == 2
    assert run(report, "--policy", "builtin:strict", "--baseline", report + "x").exit_code == 2
    done = run(report, "--policy", "builtin:recommended", "--junit", report + "/not/a/folder.xml")
    assert done.exit_code == 2


def test_the_table_shows_the_worst_first_with_interval_and_advice(files):
    report, policy = files("r.json", make_report()), files("p.toml", POLICY.format(limit=1.0, level="error"))
    output = run(report, "--policy", policy).stdout
    assert "3.6 [3.564, 3.636]" in output
    assert "what to do: look at the learning rate" in output
    assert output.index("sharp") < output.index("worse")
    assert "\x1b" not in output


def test_a_baseline_is_compared_with(files):
    report, policy = files("r.json", make_report()), files("p.toml", POLICY.format(limit=9.0, level="error"))
    better = files("b.json", with_measurement(make_report(), "ntk.trace", 1000.0))
    assert run(report, "--policy", policy, "--baseline", report).exit_code == 0
    assert run(report, "--policy", policy, "--baseline", better).exit_code == 1


def test_the_policy_can_name_its_baseline_relative_to_itself(files, tmp_path):
    policy = POLICY.format(limit=9.0, level="error").replace("[baseline]", '[baseline]\nref = "file:old.json"')
    report, path = files("r.json", make_report()), files("p.toml", policy)
    assert run(report, "--policy", path).exit_code == 0, "no baseline yet: skipped"
    files("old.json", with_measurement(make_report(), "ntk.trace", 1000.0))
    assert run(report, "--policy", path).exit_code == 1


def test_every_output_is_written_from_the_same_verdict(files, tmp_path):
    report, policy = files("r.json", make_report()), files("p.toml", POLICY.format(limit=1.0, level="error"))
    names = ("junit", "sarif", "markdown", "html", "json")
    done = run(report, "--policy", policy, *(a for n in names for a in (f"--{n}", tmp_path / f"out.{n}")))
    texts = {name: (tmp_path / f"out.{name}").read_text(encoding="utf-8") for name in names}
    verdict = Verdict.model_validate_json(texts["json"])
    assert (done.exit_code, verdict.outcome) == (1, "fail")
    assert ET.fromstring(texts["junit"]).get("failures") == "1"
    (first, _) = json.loads(texts["sarif"])["runs"][0]["results"]
    assert first["locations"][0]["physicalLocation"]["region"]["startLine"] == 4
    assert verdict.policy_sha256[:12] in texts["markdown"]
    assert verdict.policy_sha256[:16] in texts["html"]


def test_a_report_can_come_from_standard_input():
    done = run("-", "--policy", "builtin:recommended", input=make_report().model_dump_json())
    assert done.exit_code == 0


def test_names_from_strangers_cannot_command_the_terminal(files):
    report = with_measurement(
        make_report(), "hessian.lambda_max", None, outcome="not_applicable", detail="\x1b[2J[bold red]gone\u202e"
    )
    policy = files("p.toml", POLICY.format(limit=1.0, level="error"))
    output = run(files("r.json", report), "--policy", policy).stdout
    assert "\x1b" not in output
    assert "\u202e" not in output
    assert "[bold red]gone" in output
