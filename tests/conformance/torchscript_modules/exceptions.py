"""Cases that are not expected to pass, each with its reason, and the marks below which the suite fails."""

from collections.abc import Mapping

NAMED: Mapping[str, str] = {}
"""Why a case cannot pass, by a pattern of its name and form, ``nn.GRU[3] traced``."""

MARKS: Mapping[tuple[str, str], int] = {
    ("traced", "plain"): 1432,
    ("scripted", "plain"): 557,
    ("traced", "extra"): 362,
    ("scripted", "extra"): 214,
}
"""The fewest cases that must pass, by form and kind."""
