from rich.console import Console

from eigengate.cli.layer_table import layer_table
from eigengate.cli.render import headline_table, verdict_table
from eigengate.gate import judge
from tests.support.layers import make_layer
from tests.support.policies import TODAY, policy, threshold
from tests.support.reports import make_report, with_measurement


def rendered(item) -> str:
    console = Console(width=160)
    with console.capture() as text:
        console.print(item)
    return text.get()


def test_headlines_show_value_and_both_kinds_of_error():
    text = rendered(headline_table(make_report()))
    row = next(line for line in text.splitlines() if "attribution.robustness" in line)
    assert "0.83" in row
    assert "[0.7465, 0.9135]" in row
    assert "exact" in row


def test_headlines_say_why_a_number_is_missing():
    report = with_measurement(make_report(), "index.gmsi", None, outcome="not_applicable")
    row = next(line for line in rendered(headline_table(report)).splitlines() if "index.gmsi" in line)
    assert "not applicable" in row


def test_layers_have_a_row_each_and_say_why_a_number_is_missing():
    layers = (make_layer("blocks.0.first", 12_000, trace=40.0), make_layer("head", 3, trace=None))
    lines = rendered(layer_table(make_report(layers=layers))).splitlines()
    (first,) = (line for line in lines if "blocks.0.first" in line)
    assert first.split() == ["blocks.0.first", "12,000", "2.5", "-0.125", "40", "[36,", "44]"]
    assert "non finite" in next(line for line in lines if "head" in line)
    assert layer_table(make_report()) is None


def test_a_verdict_without_conditions_is_a_banner():
    text = rendered(verdict_table(judge(make_report(), policy(), today=TODAY)))
    assert text.startswith("INDETERMINATE  Nothing was demanded")


def test_a_waiver_that_expires_soon_is_noted():
    waiver = {"condition": "c", "reason": "known", "owner": "ada", "expires": TODAY}
    rules = policy(threshold(limit=1.0), threshold(id="d"), waiver=[waiver])
    assert "note: waiver of 'c' by ada expires in 0 days" in rendered(
        verdict_table(judge(make_report(), rules, today=TODAY))
    )


def test_what_was_not_judged_is_said_once_for_every_reason():
    rules = policy(threshold(id="a", level="off"), threshold(id="b", level="off"))
    lines = rendered(verdict_table(judge(make_report(), rules, today=TODAY))).splitlines()
    assert len([line for line in lines if line.startswith("not judged: a, b: ")]) == 1
