"""Which software measured: torch-free, from package metadata."""

import platform
from importlib.metadata import PackageNotFoundError, version

import eigengate

_PACKAGES = ("torch", "onnx", "onnxruntime", "numpy")


def versions() -> dict[str, str]:
    """Versions of Eigengate, Python and the numerical libraries that are installed."""
    found = {"eigengate": eigengate.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
