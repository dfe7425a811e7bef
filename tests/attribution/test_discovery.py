"""A new part is one new file; two that claim one name are a mistake; importing the package loads none."""

import subprocess
import sys

import pytest

from eigengate.attribution import load_all
from eigengate.attribution.discovery import discover
from eigengate.attribution.methods.saliency import Saliency
from eigengate.attribution.metrics import Metric

PART = """
from eigengate.attribution.metrics import Metric

class {cls}(Metric):
    name = "{name}"
    def compare(self, pairs): ...

class Abstract(Metric):
    name = "abstract"
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "found_parts"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "found_parts"]:
        del sys.modules[name]


def test_a_file_is_all_it_takes_and_abstract_classes_do_not_count(package):
    (package / "late.py").write_text(PART.format(cls="Late", name="late"))
    (package / "early.py").write_text(PART.format(cls="Early", name="early"))
    assert list(discover("found_parts", [str(package)], Metric)) == ["early", "late"]


def test_two_classes_of_one_name_are_refused(package):
    (package / "one.py").write_text(PART.format(cls="One", name="same"))
    (package / "two.py").write_text(PART.format(cls="Two", name="same"))
    with pytest.raises(ValueError, match=r"found_parts\.two and found_parts\.one both define 'same'"):
        discover("found_parts", [str(package)], Metric)


def test_methods_are_loaded_when_asked_for_and_not_on_import():
    code = (
        "import sys, eigengate.attribution as a; name = 'eigengate.attribution.methods.saliency'; "
        "assert name not in sys.modules; a.load_all(); assert name in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert load_all()["saliency"] is Saliency
