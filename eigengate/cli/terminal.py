"""Consoles that stay readable in a log file, and text that cannot command a terminal."""

import re
import sys
from os import environ

from rich.console import Console
from rich.text import Text

LOG_WIDTH = 140
# C0 and C1 controls (ANSI escapes begin with one) and characters that reorder text; tab and newline stay.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def stdout() -> Console:
    """Where results go."""
    return _console(stderr=False)


def stderr() -> Console:
    """Where errors and progress go, so that results can be piped."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    # rich assumes 80 columns where there is no terminal, too few for a table in a CI log.
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if is_terminal or "COLUMNS" in environ else LOG_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def plain(text: object, style: str = "") -> Text:
    """Text as it is: no markup, no control characters; names in a report come from strangers."""
    return Text(_CONTROLS.sub("\ufffd", str(text)), style=style)
