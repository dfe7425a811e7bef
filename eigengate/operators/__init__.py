"""What the matrices of a network are: Jacobians, tangent kernel, Hessian, Gauss-Newton, on flat vectors.

A matrix is a ``LinearOperator``: a shape, a product and the product of its adjoint. How one looks at it (norms, traces,
spectra) belongs to ``estimators``; nothing here draws random numbers or chooses accuracies. Letters: n samples,
C outputs, d input entries, P parameters, k columns.
"""

from eigengate.operators.congruence import DiagonalCongruence
from eigengate.operators.dense import DenseOperator
from eigengate.operators.diagonal_block import DiagonalBlock
from eigengate.operators.difference import DifferenceOperator
from eigengate.operators.gauss_newton import GaussNewtonOperator
from eigengate.operators.gram import GramOperator
from eigengate.operators.hessian import HessianOperator
from eigengate.operators.jacobian import JacobianOperator
from eigengate.operators.layer import Layer, layers_of
from eigengate.operators.linear_operator import AdjointOperator, LinearOperator, Signature
from eigengate.operators.loss import CrossEntropy, Loss, ProbabilityCrossEntropy, SquaredError
from eigengate.operators.ntk import NTKOperator
from eigengate.operators.parameter_space import ParameterSpace
from eigengate.operators.subject import Subject

__all__ = [
    "AdjointOperator",
    "CrossEntropy",
    "DenseOperator",
    "DiagonalBlock",
    "DiagonalCongruence",
    "DifferenceOperator",
    "GaussNewtonOperator",
    "GramOperator",
    "HessianOperator",
    "JacobianOperator",
    "Layer",
    "LinearOperator",
    "Loss",
    "NTKOperator",
    "ParameterSpace",
    "ProbabilityCrossEntropy",
    "Signature",
    "SquaredError",
    "Subject",
    "layers_of",
]
