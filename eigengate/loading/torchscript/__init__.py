"""TorchScript archives to pure functions: container checks, lifting, compilation, and the original executor.

What lives here knows TorchScript's graph and nothing of spectra. An archive is checked (``archive``, ``vet``), loaded,
lifted into a plain graph (``lift``, ``ir``), compiled into closures (``emit``, ``calls``, ``plan``) and evaluated by
``TorchScriptProgram``; ``TorchScriptRuntime`` runs the same module on PyTorch's own interpreter. No operator runs that
``allowed`` does not admit.
"""

from eigengate.loading.torchscript.allowed import supported_operators
from eigengate.loading.torchscript.archive import ArchiveKind, is_torchscript, sniff
from eigengate.loading.torchscript.program import TorchScriptProgram
from eigengate.loading.torchscript.reader import lower, read_torchscript
from eigengate.loading.torchscript.runtime import TorchScriptRuntime

__all__ = [
    "ArchiveKind",
    "TorchScriptProgram",
    "TorchScriptRuntime",
    "is_torchscript",
    "lower",
    "read_torchscript",
    "sniff",
    "supported_operators",
]
