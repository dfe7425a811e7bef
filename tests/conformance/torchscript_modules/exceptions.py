"""Cases that are not expected to pass, each with its reason, and the marks below which the suite fails."""

from collections.abc import Mapping

NAMED: Mapping[str, str] = {}
"""Why a case cannot pass, by a pattern of its name and form, ``nn.GRU[3] traced``."""

DERIVATIVES: Mapping[str, str] = {
    r"^nn\.CTCLoss": "torch has no forward mode and no second derivative of it",
    r"^nn\.LPPool\dd": "a power of 1.5 of negative numbers is not real",
    r"^nn\.CrossEntropyLoss\[20\]": "every target is the one to be ignored: the mean of nothing",
    r"^nn\.KLDivLoss": "the samples are no logarithms of probabilities: the logarithm of a negative number",
}
"""Why a case lacks derivatives beyond the first, by a pattern of its name."""

MARKS: Mapping[tuple[str, str], int] = {
    ("traced", "plain"): 1432,
    ("scripted", "plain"): 557,
    ("traced", "extra"): 362,
    ("scripted", "extra"): 214,
}
"""The fewest cases that must pass, by form and kind."""

FEWEST_TWICE = 1736
"""The fewest traced cases that must have every derivative up to the second."""
