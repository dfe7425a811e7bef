"""The extras are enough: the API starts with what ``[service,cli]`` brings, though more is installed here."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Hides every installed package that the extras do not bring, then starts what the image starts, short of serving.
SCRIPT = """
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

def closure(name, extras, seen):
    for extra in ("", *extras):
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for text in distribution(name).requires or ():
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                closure(canonicalize_name(wanted.name), wanted.extras, seen)
    return seen

seen = {("eigengate", "")}
project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
for text in [*project["dependencies"], *extras["service"], *extras["cli"]]:
    closure(canonicalize_name(Requirement(text).name), Requirement(text).extras, seen)
brought = {name for name, _ in seen}

hidden = {
    module for module, owners in packages_distributions().items()
    if not brought & {canonicalize_name(owner) for owner in owners}
}
for module in [module for module in sys.modules if module.partition(".")[0] in hidden]:
    del sys.modules[module]

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"{name} is not brought by the extras", name=name)

sys.meta_path.insert(0, Hide())
assert "torch" in hidden

from service.server import Server
from service.settings import Settings
import eigengate.cli.main

Server(Settings(
    data_dir=Path(sys.argv[1]),
    database_url="postgresql://user@127.0.0.1:1/x",
    broker_url="redis://127.0.0.1:1/0",
    blob_url="s3://bucket?endpoint=http://127.0.0.1:1",
))
"""


def test_the_api_starts_with_what_its_extras_bring(tmp_path):
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
