"""``python -m eigengate.cli.generate``: write the files that are generated from code."""

from pathlib import Path

from eigengate.cli.terminal import plain, stdout
from eigengate.contract.json_schema import FOLDER, schema_texts

_DOCS = Path(__file__).parents[2] / "docs"


def generate() -> None:
    """Write the JSON Schemas of the contract and the page of ONNX operators."""
    from eigengate.loading.onnx.operator_page import operator_page

    FOLDER.mkdir(exist_ok=True)
    for name, text in schema_texts().items():
        _write(FOLDER / name, text)
    _write(_DOCS / "onnx-operators.md", operator_page())


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        stdout().print(plain(f"wrote {path.name}"))


if __name__ == "__main__":
    generate()
