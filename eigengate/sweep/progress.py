"""How long work tells where it stands."""

from collections.abc import Callable

# (stage, done, total)
OnProgress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""
