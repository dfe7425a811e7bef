"""Random changes of an input, one file each, all of unit root-mean-square size before they are scaled.

Searches for the worst change are no random draws and belong in a package of their own.
"""

from eigengate.attribution.perturbations.gaussian import Gaussian
from eigengate.attribution.perturbations.perturbation import Perturbation
from eigengate.attribution.perturbations.uniform import Uniform

__all__ = ["Gaussian", "Perturbation", "Uniform"]
