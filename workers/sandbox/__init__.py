"""What runs inside the child process of one audit, and how that process is confined.

Nothing here may import ``service`` or the parent's side of ``workers``: the child has no database, no broker and no
secret to lose. Only ``child`` imports torch, and only after the walls are up.
"""

__all__: list[str] = []
