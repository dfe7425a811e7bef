"""Where the keys of a policy stand in its text, so that a mistake can be shown with its line."""

import re
from collections.abc import Iterator

Path = tuple[str | int, ...]
Position = tuple[int, int]
Positions = dict[Path, Position]

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"^\s*(\[\[?)\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(rf"^\s*({_DOTTED})\s*=")
_INLINE_KEY = re.compile(r"[{,]\s*([A-Za-z0-9_-]+)\s*=")


def nearest(positions: Positions, path: Path) -> Position | None:
    """The position of ``path``, or of the innermost table around it that is known."""
    for length in range(len(path), 0, -1):
        if path[:length] in positions:
            return positions[path[:length]]
    return None


def toml_positions(text: str) -> Positions:
    """Line and column of headers, keys and keys of inline tables. tomllib keeps none, so the lines are read again."""
    positions: Positions = {}
    arrays: dict[Path, int] = {}
    table: Path = ()
    for number, line in _lines_outside_strings(text):
        if header := _HEADER.match(line):
            table = _enter(header[2], header[1] == "[[", arrays)
            positions.setdefault(table, (number, header.start(1) + 1))
        elif assignment := _ASSIGNMENT.match(line):
            key = (*table, *_parts(assignment[1]))
            positions[key] = (number, assignment.start(1) + 1)
            for inline in _INLINE_KEY.finditer(line, assignment.end()):
                positions.setdefault((*key, inline[1]), (number, inline.start(1) + 1))
    return positions


def _lines_outside_strings(text: str) -> Iterator[tuple[int, str]]:
    inside = False
    for number, line in enumerate(text.splitlines(), start=1):
        if not inside:
            yield number, line
        if (line.count('"""') + line.count("'''")) % 2:
            inside = not inside


def _enter(dotted: str, is_array: bool, arrays: dict[Path, int]) -> Path:
    *parents, last = _parts(dotted)
    path: Path = ()
    for part in parents:
        path = (*path, part)
        path = (*path, arrays[path]) if path in arrays else path
    path = (*path, last)
    if is_array:
        arrays[path] = arrays.get(path, -1) + 1
        path = (*path, arrays[path])
    return path


def _parts(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in re.findall(_KEY, dotted)]


def yaml_positions(text: str) -> Positions:
    """The same for YAML, and for JSON, which is YAML once tabs are blanks; empty without PyYAML."""
    try:
        import yaml
    except ImportError:
        return {}
    positions: Positions = {}

    def walk(node: yaml.Node | None, path: Path) -> None:
        children: list[tuple[str | int, yaml.Node, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            children = [(str(key.value), key, value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            children = [(index, item, item) for index, item in enumerate(node.value)]
        for name, marked, value in children:
            positions[(*path, name)] = (marked.start_mark.line + 1, marked.start_mark.column + 1)
            walk(value, (*path, name))

    try:
        walk(yaml.compose(text.replace("\t", " "), yaml.SafeLoader), ())
    except (yaml.YAMLError, RecursionError):
        return positions
    return positions
