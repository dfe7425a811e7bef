"""Judging stored reports again under another policy or against a baseline. The judging itself is ``eigengate.gate``."""

__all__: list[str] = []
