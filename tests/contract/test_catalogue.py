from eigengate.contract import METRICS
from eigengate.diagnostics import load_all


def test_the_catalogue_and_the_diagnostics_name_the_same_measurements_with_the_same_direction():
    reported = {metric.name: metric.direction for diagnostic in load_all() for metric in diagnostic.metrics}
    known = {name: metric.direction for name, metric in METRICS.items() if name in reported}
    assert sorted(set(reported) - set(METRICS)) == [], "add them to eigengate/contract/metrics.py"
    assert sorted(name for name in set(METRICS) - set(reported) if not name.startswith("index.")) == []
    assert known == reported
