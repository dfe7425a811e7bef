"""Per-sample gradients of one parameter in the forms they come in, and the Gram matrices of those."""

from eigengate.sweep.gradients.factored import FactoredGradients
from eigengate.sweep.gradients.gradients import Gradients
from eigengate.sweep.gradients.looked_up import LookedUpGradients
from eigengate.sweep.gradients.rows import GradientRows

__all__ = ["FactoredGradients", "GradientRows", "Gradients", "LookedUpGradients"]
