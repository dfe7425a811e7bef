"""Conditional requests (RFC 9110): whether the client already has what it asks for."""


def has_current(if_none_match: str | None, etag: str) -> bool:
    """Whether one of the tags in ``If-None-Match`` is ``etag``, compared weakly."""
    tags = {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}
    return "*" in tags or etag.removeprefix("W/") in tags
