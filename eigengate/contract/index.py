"""The stability index as the report carries it: components and weights, so that anyone can recompute it."""

from typing import final

from eigengate.contract.base import Contract, Items
from eigengate.contract.measurement import Outcome


@final
class IndexComponent(Contract):
    """One term of the index; null with its reason where it is undefined."""

    name: str
    value: float | None
    weight: float
    reason: str | None = None


@final
class IndexVariant(Contract):
    """One named and versioned definition of the index."""

    name: str
    value: float | None
    outcome: Outcome
    components: Items[IndexComponent]
    detail: str | None = None


@final
class IndexReport(Contract):
    """All variants; the first is the headline ``index.gmsi``."""

    variants: Items[IndexVariant] = ()
