"""The proof that what was differentiated is the network that was uploaded."""

from typing import final

from eigengate.contract.base import Contract, Items


@final
class Divergence(Contract):
    """The first intermediate value at which the lowered network and its original runtime part."""

    value: str
    error: float


@final
class CertificateCheck(Contract):
    """One comparison: ``error`` must not exceed ``tolerance``; null when it could not be made, with the reason."""

    name: str
    passed: bool
    error: float | None
    tolerance: float | None
    detail: str | None = None


@final
class Certificate(Contract):
    """All comparisons against ``runtime``, the network's original executor."""

    passed: bool
    runtime: str
    checks: Items[CertificateCheck]
    first_divergence: Divergence | None = None
