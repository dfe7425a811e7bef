"""Audits: submitting them, seeing where they stand, and, for the workers, claiming and finishing them.

``repository`` is the only place that moves an audit from one status to the next; workers use it too. No measuring.
"""

__all__: list[str] = []
