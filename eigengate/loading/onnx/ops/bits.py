"""Numbers as bit patterns."""

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Smoothness, operator

_FLOATS = {2: torch.float16, 4: torch.float32, 8: torch.float64}


@operator("BitCast", since=26, smoothness=Smoothness.NONE)
def bit_cast(x: Tensor, *, to: torch.dtype) -> Tensor:
    """The bits of every element read as a number of the type ``to``, which is equally wide.

    In a program of another precision than the model's, floats are brought to the model's width before or after.
    """
    x = x.detach()
    if x.dtype.itemsize == to.itemsize:
        return x.view(to)
    if x.is_floating_point() and not to.is_floating_point:
        return x.to(_float_of_width(to.itemsize)).view(to)
    if to.is_floating_point and not x.is_floating_point():
        return x.view(_float_of_width(x.dtype.itemsize)).to(to)
    raise ValueError(f"{x.dtype} and {to} are not equally wide")


def _float_of_width(width: int) -> torch.dtype:
    if width == torch.float16.itemsize:
        raise ValueError("a program of raised precision does not know whether 16 bits are a float16 or a bfloat16")
    return _FLOATS[width]


@operator("BitShift", since=11, smoothness=Smoothness.NONE)
def bit_shift(x: Tensor, y: Tensor, *, direction: str) -> Tensor:
    """The bits of x moved by y places to the ``LEFT`` or ``RIGHT``, elementwise with multidirectional broadcasting.

    Zeros move in, but copies of the sign from the left of a signed number (opset 28). A y that is negative or not
    below the width of the type moves everything out.
    """
    width = 8 * x.dtype.itemsize
    places = y.to(torch.int64)
    places = torch.where((places < 0) | (places >= width), 64, places)
    wide = x.to(torch.int64)
    if direction == "LEFT":
        moved = torch.where(places < 64, wide << torch.clamp(places, max=63), 0)
    elif x.dtype == torch.uint64:
        # In int64 the top bit would be taken for a sign; after one place it is free.
        halved = (wide >> 1) & torch.iinfo(torch.int64).max
        moved = torch.where(places == 0, wide, halved >> torch.clamp(places - 1, min=0))
    else:
        moved = wide >> torch.clamp(places, max=63)
    return moved.to(x.dtype)
