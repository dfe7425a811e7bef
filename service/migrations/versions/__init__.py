"""Revisions, named by number and what they add."""

__all__: list[str] = []
