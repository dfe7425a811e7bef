"""Adding up the tangent kernel, one parameter after the other."""

from dataclasses import replace
from typing import Final, final

import torch
from torch import Tensor

from eigengate.operators.parameter_space import tensor_norms
from eigengate.operators.subject import Subject
from eigengate.sweep.collecting import Collected
from eigengate.sweep.gradients import Gradients
from eigengate.sweep.tangent_kernel import TangentKernel

# Products of this many multiplications cost a fraction of a second in float64; beyond it float32 halves their time.
_EXACT_PRODUCTS: Final = 2**30
_TILE_SHARE: Final = 16  # of the memory budget, for the products of one parameter


@final
class KernelFilling:
    """The tangent kernel while it is being added up.

    Each parameter tensor l adds G_l G_lᵀ to Θ and ‖θ_l‖² times it to Θ_T.
    """

    def __init__(self, subject: Subject, outputs: int, memory_budget_bytes: int) -> None:
        self._kernel = TangentKernel.empty(subject, outputs, memory_budget_bytes=memory_budget_bytes)
        self._scales = {name: float(norm) ** 2 for name, norm in tensor_norms(subject.params).items()}
        self._tile_floats = memory_budget_bytes // _TILE_SHARE // 8
        self._dtype = subject.dtype
        self._coarsest = torch.float64

    def diagonal(self, collected: Collected, rows: Tensor) -> None:
        """Products of a tile's gradients among themselves."""
        for name, gradients in collected.gradients():
            self._within(name, gradients, rows)

    def beside(self, left: Collected, right: Collected, rows: Tensor, others: Tensor) -> None:
        """Products of the gradients of two tiles."""
        for (name, own), (_, beside) in zip(left.gradients(), right.gradients(), strict=True):
            self._add(name, own, beside, rows, others)

    def finished(self) -> TangentKernel:
        """The kernel."""
        return replace(self._kernel, products=self._coarsest)

    def _within(self, name: str, gradients: Gradients, rows: Tensor) -> None:
        at_once = max(1, int(self._tile_floats**0.5) // gradients.outputs)
        if at_once >= len(rows):
            self._add(name, gradients, gradients, rows, rows)
            return
        pieces = torch.split(torch.arange(len(rows), device=rows.device), at_once)
        parts = [gradients.select(piece) for piece in pieces]
        for i, piece in enumerate(pieces):
            own = rows[piece]
            self._add(name, parts[i], parts[i], own, own)
            for j in range(i + 1, len(pieces)):
                self._add(name, parts[i], parts[j], own, rows[pieces[j]])

    def _add(self, name: str, own: Gradients, others: Gradients, rows: Tensor, columns: Tensor) -> None:
        few = own.multiplications(others.samples) <= _EXACT_PRODUCTS
        dtype = torch.float64 if few else self._dtype
        self._coarsest = dtype if dtype == torch.float32 else self._coarsest
        tile = own.products(others, dtype).reshape(own.samples, own.outputs, others.samples, others.outputs)
        self._kernel.add(tile, rows, columns, scale=self._scales[name])
