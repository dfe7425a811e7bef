"""torch.export archives (``.pt2``) to pure functions: a strict vetter, our own reading of the graph, and a witness.

PyTorch's loader runs code from such files: pickles, and texts that it evaluates. Here nothing of a file is run. The
container is checked and its tensors are read as plain numbers (``archive``, ``stored``, ``pickled``), the program is
checked field by field against a grammar (``grammar``, ``schema``, ``symbols``), turned into a graph (``document``,
``graph``), made functional and compiled into steps (``compiler``, ``memory``, ``calls``, ``plan``). Operators,
rewritten kernels and precision are those of TorchScript. ``ExportedRuntime`` runs the same program on PyTorch's own
interpreter, from an archive that is written anew from what was checked (``reemission``).
"""

from eigengate.loading.exported.archive import is_exported
from eigengate.loading.exported.program import ExportedProgram
from eigengate.loading.exported.reader import read_exported
from eigengate.loading.exported.runtime import ExportedRuntime

__all__ = ["ExportedProgram", "ExportedRuntime", "is_exported", "read_exported"]
