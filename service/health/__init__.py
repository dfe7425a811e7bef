"""What the service says of itself: whether it lives, whether it is ready, what it can do."""

__all__: list[str] = []
