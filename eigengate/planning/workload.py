"""How much work one pass through a network is."""

from dataclasses import dataclass
from typing import Final, final

import torch
from torch.utils.flop_counter import FlopCounterMode

from eigengate.operators.batches import activation_floats
from eigengate.operators.layer import layers_of
from eigengate.operators.parameter_space import ParameterSpace
from eigengate.operators.subject import Subject

_PER_VALUE: Final = 4  # operations that a value costs which no matrix product makes
GRADIENT: Final = 3  # forward passes' worth of work in a gradient by all parameters
BACKWARD: Final = 2  # in a backward pass alone
HESSIAN_PRODUCT: Final = 8  # in a product with the Hessian
GAUSS_NEWTON_PRODUCT: Final = 9  # in one with the Gauss-Newton matrix, which records nothing


@final
@dataclass(frozen=True)
class Workload:
    """The sizes that costs are made of.

    Attributes:
        samples: n.
        outputs: C.
        dimension: d, entries of one sample's differentiable input.
        parameters: P.
        tensors: Number of parameter tensors.
        forward: Multiplications and additions of one sample's forward pass.
        values: Floating point numbers it makes.
        itemsize: Bytes of one of them.
        layers: Parameters of every layer.
    """

    samples: int
    outputs: int
    dimension: int
    parameters: int
    tensors: int
    forward: float
    values: int
    itemsize: int
    layers: tuple[int, ...] = ()

    @classmethod
    def of(cls, subject: Subject) -> "Workload":
        """Counted on the first sample."""
        rows = torch.arange(1, device=subject.x.device)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            f = subject.outputs_of(rows)(subject.params, subject.x[rows])
        values = activation_floats(subject)
        space = ParameterSpace.of(subject.params)
        return cls(
            samples=subject.n,
            outputs=f.shape[1],
            dimension=subject.x[0].numel(),
            parameters=space.dimension,
            tensors=len(space.shapes),
            forward=float(counter.get_total_flops() + _PER_VALUE * values),
            values=values,
            itemsize=subject.dtype.itemsize,
            layers=tuple(layer.size for layer in layers_of(space)),
        )

    @property
    def gradient(self) -> float:
        """Operations of one gradient of the whole probe set."""
        return GRADIENT * self.forward * self.samples

    @property
    def hessian_product(self) -> float:
        """Operations of one product with the Hessian of the whole probe set."""
        return HESSIAN_PRODUCT * self.forward * self.samples

    @property
    def gauss_newton_product(self) -> float:
        """The same of the Gauss-Newton matrix."""
        return GAUSS_NEWTON_PRODUCT * self.forward * self.samples
