"""Operators whose second derivatives cost no more than they have to."""

from collections.abc import Callable, Mapping
from typing import Any, Final, final

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from eigengate.operators.evaluated_norm import batch_norm, functional_batch_norm
from eigengate.operators.twice_differentiable_convolution import convolution, general_convolution

_aten = torch.ops.aten


@final
class SecondOrder(TorchFunctionMode):
    """Within it convolutions and batch normalisations by running statistics are replaced by equals.

    They support two derivatives in reverse mode, neither forward mode nor ``vmap``.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        substitute = _SUBSTITUTES.get(func)
        found = substitute(*args, **kwargs) if substitute else None
        return func(*args, **kwargs) if found is None else found


_SUBSTITUTES: Final[Mapping[Any, Callable[..., Tensor | None]]] = {
    F.conv1d: convolution,
    F.conv2d: convolution,
    F.conv3d: convolution,
    _aten.conv1d.default: convolution,
    _aten.conv2d.default: convolution,
    _aten.conv3d.default: convolution,
    _aten.convolution.default: general_convolution,
    _aten._convolution.default: general_convolution,
    F.batch_norm: functional_batch_norm,
    torch.batch_norm: batch_norm,
    _aten.batch_norm.default: batch_norm,
}
"""By what a network calls. They return None for what they leave to PyTorch."""
