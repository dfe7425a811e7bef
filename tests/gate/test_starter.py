import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eigengate.gate import judge, load_policy, starter_policy
from tests.support.policies import TODAY
from tests.support.reports import make_report, with_measurement

REPORT = make_report(n=4, with_attribution=False)


def judged(report, headroom):
    return judge(report, load_policy(starter_policy(report, headroom=headroom).encode()), today=TODAY)


@settings(max_examples=60, deadline=None)
@given(
    gmsi=st.floats(-3, 9),
    robustness=st.floats(0, 1),
    sharpness=st.floats(1e-12, 1e12),
    headroom=st.floats(0, 5),
)
def test_a_starter_policy_passes_the_report_it_was_made_from(gmsi, robustness, sharpness, headroom):
    report = with_measurement(REPORT, "index.gmsi", gmsi)
    report = with_measurement(report, "attribution.robustness", robustness)
    report = with_measurement(report, "hessian.lambda_max", sharpness, numerical=(0.9 * sharpness, 1.1 * sharpness))
    assert judged(report, headroom).outcome == "pass"


def test_headroom_moves_thresholds_away_from_today():
    thresholds = {c.metric: c.threshold for c in load_policy(starter_policy(REPORT, headroom=0.2).encode()).condition}
    # Beyond the upper end 3.636, and log10(1.2) = 0.079 beyond 1.12; rounded outward to three digits
    # (0.8 * 0.83 is a little less than 0.664 in binary).
    assert thresholds["hessian.lambda_max"] == pytest.approx(4.37)
    assert thresholds["index.gmsi"] == pytest.approx(1.20)
    assert thresholds["attribution.robustness"] == pytest.approx(0.663)


def test_what_was_not_measured_is_left_out():
    report = with_measurement(REPORT, "index.gmsi", None, outcome="not_applicable")
    assert "index-gmsi" not in starter_policy(report)


def test_a_network_that_got_worse_fails_its_starter_policy():
    policy = load_policy(starter_policy(REPORT).encode())
    worse = with_measurement(REPORT, "index.forward", 1.5)
    assert judge(worse, policy, today=TODAY).outcome == "fail"
