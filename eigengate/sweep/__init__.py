"""The shared pass over the probe set: logits, input Jacobians and tangent kernels, inside a memory budget.

Only this package knows how per-sample derivatives are obtained and tiled; what is read off them belongs to
``estimators`` and ``diagnostics``.
"""

from eigengate.sweep._sweep import ALL_PARTS, Part, Sweep, sweep
from eigengate.sweep.input_sweep import InputJacobians
from eigengate.sweep.progress import OnProgress, silent
from eigengate.sweep.spread import Spread
from eigengate.sweep.tangent_kernel import TangentKernel

__all__ = ["ALL_PARTS", "InputJacobians", "OnProgress", "Part", "Spread", "Sweep", "TangentKernel", "silent", "sweep"]
