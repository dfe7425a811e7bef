"""The loss's curvature in the parameters of one layer."""

from typing import Annotated, final

from pydantic import Field

from eigengate.contract.base import Contract, Items
from eigengate.contract.measurement import Measurement


@final
class LayerCurvature(Contract):
    """The diagonal block of the loss Hessian that belongs to one layer, all other layers held fixed.

    A layer is the parameter tensors that share the part of their names in front of the last dot; a tensor whose name
    has no dot is one by itself. The traces of all layers sum to the trace of the Hessian.
    """

    name: str
    tensors: Items[str]
    parameters: Annotated[int, Field(ge=1)]
    lambda_max: Measurement
    lambda_min: Measurement
    trace: Measurement
