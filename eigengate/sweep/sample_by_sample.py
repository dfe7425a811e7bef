"""The tangent kernel of networks that cannot be traced: every sample's gradients written out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

from eigengate.errors import BudgetExceededError
from eigengate.operators.parameter_space import ParameterSpace, tensor_norms
from eigengate.operators.subject import Subject
from eigengate.sweep.gram import row_products
from eigengate.sweep.per_sample import parameter_jacobians
from eigengate.sweep.progress import OnProgress
from eigengate.sweep.tangent_kernel import TangentKernel

_TILE_SHARE: Final = 4  # per-sample gradients of one tile may take a quarter of the memory budget


def sweep_parameters(
    subject: Subject, outputs: int, *, memory_budget_bytes: int, on_progress: OnProgress
) -> TangentKernel:
    """Fill Θ from per-sample gradients, one group of parameter tensors and one pair of sample tiles at a time.

    Each tensor l adds G_l G_lᵀ to Θ and ‖θ_l‖² times it to Θ_T.

    Raises:
        BudgetExceededError: the gradients of one sample by one tensor exceed the memory budget.
    """
    plan = _Plan.of(subject, outputs, memory_budget_bytes)
    norms = {name: float(norm) ** 2 for name, norm in tensor_norms(subject.params).items()}
    kernel = TangentKernel.empty(subject, outputs, memory_budget_bytes=memory_budget_bytes)
    for step, (names, rows, others) in enumerate(plan):
        left = parameter_jacobians(subject, rows, outputs, names)
        right = left if others is rows else parameter_jacobians(subject, others, outputs, names)
        for name, A, B in zip(names, left, right, strict=True):
            A = A.flatten(0, 1)
            tile = row_products(A, A if others is rows else B.flatten(0, 1), torch.float64)
            kernel.add(tile.reshape(len(rows), outputs, len(others), outputs), rows, others, scale=norms[name])
        on_progress("tangent_kernel", step + 1, len(plan))
    return kernel


@final
@dataclass(frozen=True)
class _Plan:
    """Groups of tensors times pairs of sample tiles; a single tile if the largest tensor's gradients allow."""

    groups: tuple[tuple[str, ...], ...]
    tiles: tuple[Tensor, ...]

    @classmethod
    def of(cls, subject: Subject, outputs: int, memory_budget_bytes: int) -> "_Plan":
        sizes = ParameterSpace.of(subject.params).sizes
        floats = memory_budget_bytes // _TILE_SHARE // subject.dtype.itemsize
        largest = outputs * max(sizes.values(), default=0)
        tile = subject.n if subject.n * largest <= floats else floats // 2 // largest
        if tile == 0:
            raise BudgetExceededError(
                f"the {outputs} gradients of one sample by one tensor take {largest * subject.dtype.itemsize:,} "
                f"bytes, more than an eighth of the memory budget of {memory_budget_bytes:,} bytes",
                hint="raise memory_budget_bytes, or exclude large tensors with parameters.exclude",
            )
        room = (floats if tile >= subject.n else floats // 2) // (tile * outputs)
        rows = torch.arange(subject.n, device=subject.x.device)
        return cls(tuple(_packed(sizes, room)), torch.split(rows, tile))

    def __len__(self) -> int:
        return len(self.groups) * len(self.tiles) * (len(self.tiles) + 1) // 2

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], Tensor, Tensor]]:
        for names in self.groups:
            for i, rows in enumerate(self.tiles):
                for others in self.tiles[i:]:
                    yield names, rows, others


def _packed(sizes: dict[str, int], room: int) -> Iterator[tuple[str, ...]]:
    """Consecutive tensors whose sizes together fit into ``room``; a larger one alone."""
    group: list[str] = []
    for name in sizes:
        if group and sum(sizes[member] for member in [*group, name]) > room:
            yield tuple(group)
            group = []
        group.append(name)
    if group:
        yield tuple(group)
