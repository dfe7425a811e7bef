"""ONNX: a ``ModelProto`` lowered to a pure function over torch, beside onnxruntime as its witness.

The protobuf is read once into a flat ``Graph`` (functions expanded, shared initialisers untied, parameters told from
buffers) and compiled to a ``Block`` of steps. One function per operator and since-version lives in ``ops``; adding an
operator is one decorated function there. Nothing here touches a path, the network or the environment.
"""

from eigengate.loading.onnx.catalogue import CatalogueEntry, supported_operators
from eigengate.loading.onnx.lowering import read_onnx
from eigengate.loading.onnx.program import OnnxProgram
from eigengate.loading.onnx.roles import Role, parameter_roles
from eigengate.loading.onnx.runtime import OnnxRuntime
from eigengate.loading.onnx.sniff import is_onnx

__all__ = [
    "CatalogueEntry",
    "OnnxProgram",
    "OnnxRuntime",
    "Role",
    "is_onnx",
    "parameter_roles",
    "read_onnx",
    "supported_operators",
]
