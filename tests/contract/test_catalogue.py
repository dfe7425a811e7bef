from eigengate.contract import METRICS


def test_the_catalogue_and_the_diagnostics_name_the_same_measurements_with_the_same_direction():
    from eigengate.diagnostics import load_all  # the other tests of the contract need no torch

    reported = {metric.name: metric.direction for diagnostic in load_all() for metric in diagnostic.metrics}
    known = {name: metric.direction for name, metric in METRICS.items() if name in reported}
    assert sorted(set(reported) - set(METRICS)) == [], "add them to eigengate/contract/metrics.py"
    assert sorted(name for name in set(METRICS) - set(reported) if not name.startswith("index.")) == []
    assert known == reported
