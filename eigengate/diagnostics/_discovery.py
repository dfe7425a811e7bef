"""Finding the diagnostics of this folder."""

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module

from eigengate import diagnostics
from eigengate.diagnostics._base import Diagnostic


def load_all() -> tuple[Diagnostic, ...]:
    """One instance of every diagnostic, by name.

    Raises:
        ValueError: two diagnostics share a name, or two report the same measurement.
    """
    found = sorted(_instances(), key=lambda diagnostic: diagnostic.name)
    for names in ([d.name for d in found], [metric.name for d in found for metric in d.metrics]):
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"diagnostics and measurements need unique names, repeated: {repeated}")
    return tuple(found)


def _instances() -> Iterator[Diagnostic]:
    for module in pkgutil.iter_modules(diagnostics.__path__):
        if module.name.startswith("_"):
            continue
        for _, value in inspect.getmembers(import_module(f"{diagnostics.__name__}.{module.name}"), inspect.isclass):
            if issubclass(value, Diagnostic) and not inspect.isabstract(value):
                yield value()
