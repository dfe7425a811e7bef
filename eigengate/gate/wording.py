"""Conditions and numbers in words, the same ones in every output."""

from eigengate.contract import BaselineRule, Condition


def number(value: float | None) -> str:
    """Four significant digits, an exponent only outside 0.0001 … 10,000,000; a dash for what is not there."""
    if value is None:
        return "–"
    text = f"{value:.4g}"
    if "e" not in text:
        return "0" if text == "-0" else text
    mantissa, exponent = text.split("e")
    return f"{float(text):,.0f}" if 0 <= int(exponent) < 7 else f"{mantissa}e{int(exponent)}"


def interval(low: float | None, high: float | None) -> str:
    """``[low, high]``, its half-width where both would look the same, nothing where there is no width."""
    if low is None or high is None or low == high:
        return ""
    ends = number(low), number(high)
    return f"[{ends[0]}, {ends[1]}]" if ends[0] != ends[1] else f"± {0.5 * (high - low):.1g}"


def subject(condition: Condition) -> str:
    """What is looked at: the metric, and how it is reduced over the probe set."""
    return condition.metric if condition.reduce == "value" else f"{condition.reduce} of {condition.metric}"


def expectation(condition: Condition) -> str:
    """What is demanded, short enough for a table cell."""
    demand = _change(condition.baseline) if condition.baseline else f"{condition.op} {number(condition.threshold)}"
    return demand if condition.reduce == "value" else f"{condition.reduce} {demand}"


def sentence(condition: Condition) -> str:
    """The whole condition as one sentence for people."""
    if condition.baseline:
        demand = (
            f"compared with the baseline, {subject(condition)} may change within {_change(condition.baseline)} only"
        )
        demand += f", where a change within {number(condition.baseline.beyond_noise)} x its noise does not count"
    else:
        demand = (
            f"{subject(condition)} must be {condition.op} {number(condition.threshold)}, judged at {_bound(condition)}"
        )
    return f"{demand}; {_consequence(condition)}."


def _change(rule: BaselineRule) -> str:
    limits = [
        f"{word} <= {number(limit * scale)}{unit}"
        for word, limit, scale, unit in (
            ("increase", rule.max_relative_increase, 100.0, " %"),
            ("increase", rule.max_absolute_increase, 1.0, ""),
            ("decrease", rule.max_relative_decrease, 100.0, " %"),
            ("decrease", rule.max_absolute_decrease, 1.0, ""),
        )
        if limit is not None
    ]
    return " or ".join(limits)


def _bound(condition: Condition) -> str:
    end = {
        "pessimistic": "the pessimistic end of its error interval",
        "upper": "the upper end of its error interval",
        "lower": "the lower end of its error interval",
        "point": "its point estimate",
    }[condition.use]
    return f"{end} (numerical and sampling)" if condition.sampling and condition.use != "point" else end


def _consequence(condition: Condition) -> str:
    consequence = {
        "error": "otherwise the gate fails",
        "warn": "otherwise the gate warns",
        "info": "shown only, it cannot change the outcome",
        "off": "switched off",
    }[condition.level]
    if condition.level in ("error", "warn") and condition.on_missing != "fail":
        consequence += f"; if it was not measured: {condition.on_missing}"
    return consequence
