"""Text that shows what it is: no control characters, nothing invisible, nothing that turns the direction of reading."""

import re

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def visible(text: str) -> str:
    """``text`` with a replacement character for each of them; names in a report come from strangers."""
    return _UNSEEN.sub("\ufffd", text)
