"""``python -m eigengate.cli.generate``: write the files that are generated from code."""

from eigengate.cli.terminal import plain, stdout
from eigengate.contract.json_schema import FOLDER, schema_texts


def generate() -> None:
    """Write the JSON Schemas of the contract."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in schema_texts().items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            stdout().print(plain(f"wrote {path.name}"))


if __name__ == "__main__":
    generate()
