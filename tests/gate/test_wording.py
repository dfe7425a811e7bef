import pytest

from eigengate.gate.wording import interval, number, sentence
from tests.support.policies import condition, policy, regression


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (-0.0, "0"),
        (3.0, "3"),
        (0.123456, "0.1235"),
        (18400.0, "18,400"),
        (-46512.3, "-46,510"),
        (2.5e9, "2.5e9"),
        (2.4e-7, "2.4e-7"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_a_threshold_is_explained_as_a_sentence():
    text = sentence(condition(reduce="p95", metric="input_jacobian.operator_norm", level="warn", on_missing="skip"))
    assert text == (
        "p95 of input_jacobian.operator_norm must be <= 10, judged at the pessimistic end of its error interval; "
        "otherwise the gate warns; if it was not measured: skip."
    )


def test_a_regression_is_explained_as_a_sentence():
    rule = {"max_relative_increase": 0.05, "max_absolute_increase": 2.0}
    (found,) = policy(regression(rule)).condition
    text = sentence(found)
    assert "increase <= 5 % or increase <= 2" in text
    assert "within 1 x its noise does not count" in text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(1.0, 2.0, "[1, 2]"), (1.0, 1.0, ""), (1.2669, 1.2669002, "± 1e-07"), (None, None, "")],
)
def test_an_interval_shows_its_ends_or_its_half_width(low, high, text):
    assert interval(low, high) == text
