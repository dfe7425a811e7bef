"""Running under ``vmap`` without its remarks."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Where an operator has no batching rule ``vmap`` loops over the samples: right, if slow, and nobody's concern."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        yield
