"""Which sizes a trace has fixed, found by running the program without data."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from eigengate.errors import EigengateError
from eigengate.loading.program import TensorSpec
from eigengate.loading.torchscript.program import TorchScriptProgram

Shapes = list[tuple[int, ...]]


def open_sizes(program: TorchScriptProgram) -> tuple[TensorSpec, ...]:
    """The program's inputs with None for every size that may vary, given those it was traced with.

    A size may vary if the program runs with one more; the batch may if in addition every output grows with it. Runs
    are on PyTorch's meta device: shapes only, no arithmetic. Where that cannot be done no size is claimed to be fixed.
    """
    traced = [spec.shape for spec in program.inputs]
    sizes: Shapes = [tuple(size for size in shape if size is not None) for shape in traced if shape is not None]
    if len(sizes) != len(traced):
        return program.inputs
    meta = program.to(device=torch.device("meta"))
    before = _output_shapes(meta, sizes)
    if before is None:
        return tuple(replace(spec, shape=(None,) * len(spec.shape or ())) for spec in program.inputs)
    batch_varies = _batch_varies(meta, sizes, before)
    return tuple(
        replace(spec, shape=_shape(meta, sizes, index, batch_varies)) for index, spec in enumerate(program.inputs)
    )


def _shape(meta: TorchScriptProgram, sizes: Shapes, index: int, batch_varies: bool) -> tuple[int | None, ...]:
    shape: list[int | None] = list(sizes[index])
    if shape and batch_varies:
        shape[0] = None
    for dim in range(1, len(shape)):
        grown = list(sizes)
        grown[index] = (*grown[index][:dim], grown[index][dim] + 1, *grown[index][dim + 1 :])
        if _output_shapes(meta, grown) is not None:
            shape[dim] = None
    return tuple(shape)


def _batch_varies(meta: TorchScriptProgram, sizes: Shapes, before: Sequence[torch.Size]) -> bool:
    grown = [(size[0] + 1, *size[1:]) if size else size for size in sizes]
    after = _output_shapes(meta, grown)
    if after is None:
        return False
    samples = sizes[0][0] if sizes and sizes[0] else 0
    pairs = zip(before, after, strict=True)
    # Every sample adds as much to an output as each of those before it; without a sample that cannot be told.
    return samples > 0 and all(not old or new[0] * samples == old[0] * (samples + 1) for old, new in pairs)


def _output_shapes(meta: TorchScriptProgram, sizes: Shapes) -> list[torch.Size] | None:
    inputs: list[Tensor] = [
        torch.empty(size, dtype=spec.dtype, device="meta") for size, spec in zip(sizes, meta.inputs, strict=True)
    ]
    try:
        with torch.no_grad():
            return [output.shape for output in meta(meta.parameters, *inputs)]
    except EigengateError:
        return None
