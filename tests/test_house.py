"""The house's own rules: what may be loaded where, what the library may not do, what is public."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import eigengate

ROOT = Path(__file__).parent.parent
LIBRARY = [path for path in (ROOT / "eigengate").rglob("*.py") if "cli" not in path.relative_to(ROOT).parts]
HEAVY = ("torch", "onnx", "onnxruntime")


def modules_after(code: str) -> set[str]:
    """The modules a fresh interpreter holds after running some code."""
    script = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import eigengate",
        "import eigengate.contract, eigengate.gate, eigengate.index, eigengate.page, eigengate.errors",
        "import service.app",
        "import workers.tasks, workers.supervisor, workers.lifecycle, workers.sweeper",
        "import eigengate.cli.main",
    ],
)
def test_a_fresh_interpreter_loads_neither_torch_nor_onnx(code):
    assert not modules_after(code) & set(HEAVY)


def test_the_service_does_not_load_the_workers():
    assert "workers" not in modules_after("import service.app")


def test_every_public_name_exists_and_survives_the_import_of_a_module_beside_it():
    import eigengate._audit
    import eigengate.gate

    for name in eigengate.__all__:
        assert getattr(eigengate, name) is not None
    assert callable(eigengate.audit)
    assert callable(eigengate.judge)


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'adit'"):
        eigengate.adit  # noqa: B018


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_never_prints_reads_the_environment_or_seeds_globally(path):
    offences = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            offences.append(f"line {node.lineno}: print")
        if isinstance(node, ast.Attribute) and ast.unparse(node) in (
            "os.environ", "os.getenv", "os.putenv", "torch.manual_seed", "torch.random.manual_seed", "np.random.seed",
            "sys.stdout", "sys.stderr",
        ):  # fmt: skip
            offences.append(f"line {node.lineno}: {ast.unparse(node)}")
    assert not offences


@pytest.mark.parametrize("package", ["eigengate", "service", "workers"])
def test_every_package_says_what_lives_in_it(package):
    silent = [
        str(path.relative_to(ROOT))
        for path in (ROOT / package).rglob("__init__.py")
        if len(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "") < 40
    ]
    assert not silent


def test_no_file_is_longer_than_four_hundred_lines():
    folders = ("eigengate", "service", "workers", "examples")
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long
