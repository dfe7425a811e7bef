"""Files to pure functions: bytes of a trained network or of probe data in, ``FunctionalModel`` and ``Probe`` out.

Here live the format detection, one sub-package per model format (each gives a ``Program`` and its original
``Runtime``), the probe readers and the certificate that proves a lowering right. No measuring happens here, nothing
is fetched from anywhere, and no file is trusted: formats go by content, pickles are never opened.
"""

from eigengate.loading.functional_model import FunctionalModel, OutputSpec
from eigengate.loading.model import load_model
from eigengate.loading.probe import Probe, load_probe

__all__ = ["FunctionalModel", "OutputSpec", "Probe", "load_model", "load_probe"]
