"""The policies that come with Eigengate, as TOML files, by name: ``builtin:recommended``, ``strict`` and ``observe``.

Thresholds live here and nowhere in code.
"""

from importlib import resources

PREFIX = "builtin:"
PRESETS = ("recommended", "strict", "observe")


def preset_text(name: str) -> str:
    """The TOML source of a preset, by its name without ``builtin:``; ``KeyError`` if there is none."""
    if name not in PRESETS:
        raise KeyError(name)
    return resources.files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")


__all__ = ["PREFIX", "PRESETS", "preset_text"]
