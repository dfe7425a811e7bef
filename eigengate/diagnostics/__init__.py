"""The measurements of an audit, one diagnostic per file, found by scanning this folder.

A file here holds one final ``Diagnostic`` and nothing others import; files with a leading underscore are shared ground.
How a matrix is multiplied belongs to ``operators``, how it is looked at to ``estimators``.
"""

from eigengate.diagnostics._base import Diagnostic, Findings
from eigengate.diagnostics._context import Context
from eigengate.diagnostics._discovery import load_all
from eigengate.diagnostics._metric import Metric

__all__ = ["Context", "Diagnostic", "Findings", "Metric", "load_all"]
