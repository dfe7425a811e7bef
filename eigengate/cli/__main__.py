"""``python -m eigengate.cli``: the same as the ``eigengate`` command."""

from eigengate.cli.main import app

app(prog_name="eigengate")
