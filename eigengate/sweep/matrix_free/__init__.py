"""What is known of Jacobians through products, for networks with too many outputs to pull back one by one."""

from eigengate.sweep.matrix_free.projected_kernel import ProjectedKernel, projected_kernel
from eigengate.sweep.matrix_free.projections import class_projection, leading_classes, random_signs
from eigengate.sweep.matrix_free.spectra import input_spectra, parameter_spectra

__all__ = [
    "ProjectedKernel",
    "class_projection",
    "input_spectra",
    "leading_classes",
    "parameter_spectra",
    "projected_kernel",
    "random_signs",
]
