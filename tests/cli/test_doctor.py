"""``eigengate doctor`` with broken surroundings: it says what is wrong, and breaks at nothing."""

import pytest
from typer.testing import CliRunner

from eigengate.cli.main import app


def doctor(monkeypatch, **environment):
    for name in ("DATABASE_URL", "BROKER_URL", "PORT"):
        monkeypatch.delenv(f"EIGENGATE_{name}", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(f"EIGENGATE_{name}", value)
    done = CliRunner().invoke(app, ["doctor"])
    assert "Traceback" not in done.output
    return done


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://user:hunter2@127.0.0.1:1/x"),
        ("DATABASE_URL", "nonsense"),
        ("BROKER_URL", "redis://:hunter2@127.0.0.1:1/0"),
        ("BROKER_URL", "nonsense"),
    ],
)
def test_a_server_that_is_away_is_found_and_its_password_kept(monkeypatch, name, value):
    done = doctor(monkeypatch, **{name: value})
    assert done.exit_code == 4
    line = next(line for line in done.output.splitlines() if name.partition("_")[0].lower() in line)
    assert "✗" in line
    assert "hunter2" not in done.output


def test_a_setting_that_makes_no_sense_is_named(monkeypatch):
    done = doctor(monkeypatch, PORT="abc")
    assert done.exit_code == 2
    assert "port" in done.output
