import pytest
from typer.testing import CliRunner

from eigengate.cli.policy import policy
from eigengate.gate import judge, load_policy, preset_text
from tests.support.reports import make_report


def run(*arguments):
    return CliRunner().invoke(policy, list(map(str, arguments)))


@pytest.mark.parametrize("name", ["recommended", "strict", "observe"])
def test_init_copies_a_preset(tmp_path, name):
    path = tmp_path / "gate.toml"
    assert run("init", path, "--preset", name).exit_code == 0
    assert path.read_text(encoding="utf-8") == preset_text(name)


def test_init_from_a_report_writes_a_policy_that_it_passes(tmp_path):
    report, path = tmp_path / "r.json", tmp_path / "gate.toml"
    report.write_text(make_report().model_dump_json())
    assert run("init", path, "--from", report, "--headroom", "0.1").exit_code == 0
    assert judge(make_report(), load_policy(path)).outcome == "pass"


def test_init_replaces_a_file_only_if_told(tmp_path):
    path = tmp_path / "gate.toml"
    path.write_text("mine")
    assert run("init", path).exit_code == 2
    assert path.read_text() == "mine"
    assert run("init", path, "--force").exit_code == 0


def test_init_knows_its_presets(tmp_path):
    assert run("init", tmp_path / "gate.toml", "--preset", "lenient").exit_code == 2


def test_lint_shows_every_mistake_with_its_line(tmp_path):
    path = tmp_path / "gate.toml"
    path.write_text('[[condition]]\nid = "a"\nmetric = "ntk.tracy"\nop = "<="\ntreshold = 1\n')
    done = run("lint", path)
    assert done.exit_code == 2
    places = [line.removeprefix(str(path)).split(": ")[0] for line in done.stdout.splitlines()]
    assert places == [":3:1", ":5:1"]


def test_lint_is_content_with_presets():
    done = run("lint", "builtin:recommended")
    assert (done.exit_code, done.stdout) == (0, "builtin:recommended: 7 conditions, no mistakes\n")


def test_lint_notes_what_is_odd(tmp_path):
    path = tmp_path / "gate.toml"
    path.write_text('[[condition]]\nid = "a"\nmetric = "ntk.trace"\nop = ">="\nthreshold = 1\n')
    done = run("lint", path)
    assert done.exit_code == 0
    assert "note: condition 'a' forbids the harmless direction" in done.stdout


def test_lint_of_a_file_that_is_not_there_is_a_usage_error():
    assert run("lint", "nowhere.toml").exit_code == 2


def test_explain_says_conditions_in_words():
    done = run("explain", "builtin:strict")
    words = " ".join(done.stdout.replace("│", " ").split())
    assert done.exit_code == 0
    assert "attribution.robustness must be >= 0.7" in words
    assert "Baseline: given by --baseline; without one: fail." in words


def test_explain_lists_waivers(tmp_path):
    path = tmp_path / "gate.toml"
    path.write_text(
        'extends = "builtin:strict"\n[[waiver]]\ncondition = "label-noise"\nreason = "[red]known"\nowner = "ada"\n'
        "expires = 2027-01-31\n"
    )
    assert "Waived: label-noise until 2027-01-31 by ada: [red]known" in run("explain", path).stdout
