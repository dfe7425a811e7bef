"""Finding the classes of a folder, so that a new one is one new file."""

import abc
import inspect
import pkgutil
from collections.abc import Iterable
from importlib import import_module
from typing import ClassVar, TypeVar


class Discoverable(abc.ABC):
    """Something that is found by its name."""

    name: ClassVar[str]


T = TypeVar("T", bound=Discoverable)


def discover(package: str, path: Iterable[str], base: type[T]) -> dict[str, type[T]]:
    """The concrete subclasses of ``base`` in the modules of a package, by name, in the order of names.

    Raises:
        ValueError: two classes claim one name.
    """
    found: dict[str, type[T]] = {}
    for module in pkgutil.iter_modules(path, f"{package}."):
        for value in vars(import_module(module.name)).values():
            if not (inspect.isclass(value) and issubclass(value, base)) or inspect.isabstract(value):
                continue
            if found.setdefault(value.name, value) is not value:
                raise ValueError(f"{value.__module__} and {found[value.name].__module__} both define {value.name!r}")
    return dict(sorted(found.items()))
