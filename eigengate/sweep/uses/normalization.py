"""Scale and shift of normalised values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast, final

import torch
from torch import Tensor, fx

from eigengate.sweep.uses.use import Collector, RowCollector, Use, entries_of, results_of

_aten = torch.ops.aten


@final
@dataclass(frozen=True)
class Affine(Use):
    """W' in X̂ ∘ W' + W'', X̂ the normalised data [1, channels, ...] or [..., entries].

    Attributes:
        normalized: X̂ of a batch [n, ...] of all that the operator is given, without scale and shift.
        is_scale: Whether W' is the scale.
        kept_axes: The axes of one sample's result that W' has entries for.
    """

    node: fx.Node
    operand: fx.Node
    normalized: Callable[[fx.Node, Sequence[Any]], Tensor]
    is_scale: bool
    kept_axes: tuple[int, ...]

    @property
    def wanted(self) -> tuple[fx.Node, ...]:
        return tuple(self.node.all_input_nodes) if self.is_scale else ()

    @property
    def floats(self) -> int:
        return entries_of(self.operand)

    def collector(self, values: Sequence[Any], samples: int, outputs: int) -> Collector:
        normalized = self.normalized(self.node, values) if self.is_scale else None
        return _Affine(self, normalized, samples, outputs)


@final
class _Affine(RowCollector):
    def __init__(self, use: Affine, normalized: Tensor | None, samples: int, outputs: int) -> None:
        super().__init__(samples, outputs, use.floats)
        self._use, self._normalized = use, normalized

    def rows(self, cotangents: Sequence[Tensor]) -> Tensor:
        rows = cotangents[0] if self._normalized is None else cotangents[0] * self._normalized
        summed = [axis + 1 for axis in range(rows.dim() - 1) if axis not in self._use.kept_axes]
        return rows.sum(dim=summed) if summed else rows


def _bare(positions: tuple[int, int]) -> Callable[[fx.Node, Sequence[Any]], Tensor]:
    """The operator itself without scale and shift, which stand at the given positions."""

    def normalized(node: fx.Node, values: Sequence[Any]) -> Tensor:
        nodes = node.all_input_nodes

        def one(*sample: Tensor) -> Tensor:
            known = dict(zip(nodes, sample, strict=True))
            args = list(fx.node.map_arg(node.args, known.__getitem__))
            args[positions[0]] = args[positions[1]] = None
            return cast(Tensor, cast(Callable[..., Any], node.target)(*args)[0])

        return torch.vmap(one)(*values)

    return normalized


_SCALE_AND_SHIFT: Final = {
    _aten.native_batch_norm.default: (1, 2),
    _aten._native_batch_norm_legit_no_training.default: (1, 2),
    _aten.cudnn_batch_norm.default: (1, 2),
    _aten.native_layer_norm.default: (2, 3),
    _aten.native_group_norm.default: (1, 2),
}
_LAYER: Final = _aten.native_layer_norm.default


def normalization(node: fx.Node, operand: fx.Node) -> Use | None:
    """The use of a scale or a shift behind a normalisation whose statistics nobody reads."""
    positions = _SCALE_AND_SHIFT.get(cast(Any, node.target))
    if positions is None or node.args.count(operand) != 1 or operand not in [node.args[i] for i in positions]:
        return None
    results = results_of(node)
    if len(results) != 1 or results[0].args[1] != 0:
        return None
    dimensions = results[0].meta["val"].dim()
    width = len(cast(Sequence[int], node.args[1])) if node.target is _LAYER else 0
    axes = tuple(range(dimensions - width, dimensions)) if width else (1,)
    return Affine(node, operand, _bare(positions), operand is node.args[positions[0]], axes)
