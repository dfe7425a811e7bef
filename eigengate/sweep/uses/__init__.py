"""How parameters meet data, one family of operators per file, each with the gradients that follow from cotangents."""

from typing import Final

from torch import fx

from eigengate.sweep.uses.any_operator import AnyOperator
from eigengate.sweep.uses.convolution import convolution
from eigengate.sweep.uses.elementwise import elementwise
from eigengate.sweep.uses.lookup import lookup
from eigengate.sweep.uses.matrix_product import matrix_product
from eigengate.sweep.uses.normalization import normalization
from eigengate.sweep.uses.use import Collector, Use

_FAMILIES: Final = (matrix_product, convolution, normalization, elementwise, lookup)


def use_of(node: fx.Node, operand: fx.Node) -> Use:
    """How an operator uses one of its static operands."""
    found = (family(node, operand) for family in _FAMILIES)
    return next((use for use in found if use is not None), AnyOperator(node, operand))


__all__ = ["Collector", "Use", "use_of"]
