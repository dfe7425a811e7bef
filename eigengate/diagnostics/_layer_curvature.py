"""The loss Hessian's diagonal blocks, one for every layer."""

from collections.abc import Iterator
from typing import Final

from eigengate.contract import LayerCurvature
from eigengate.diagnostics._context import Context
from eigengate.diagnostics._metric import Metric
from eigengate.estimators.curvature import Curvature, dense_curvature, iterative_curvature, written_out_curvature
from eigengate.estimators.effort import Effort
from eigengate.operators import DiagonalBlock, Layer, layers_of
from eigengate.planning import is_written_out

_UNIT: Final = "loss/parameter²"
_LAMBDA_MAX: Final = Metric("hessian.layer.lambda_max", "Largest eigenvalue of the block", _UNIT, "lower_is_stabler")
_LAMBDA_MIN: Final = Metric("hessian.layer.lambda_min", "Smallest eigenvalue of the block", _UNIT, "higher_is_stabler")
_TRACE: Final = Metric("hessian.layer.trace", "Trace of the block", _UNIT, "lower_is_stabler")


def layer_curvatures(context: Context) -> Iterator[LayerCurvature]:
    """Ends and trace of H_ll for every layer l, in the order of the parameters; nothing where nobody asked for them.

    From the whole matrix where it was written out, at no further product. Else the blocks of small layers are written
    out, and of large ones Lanczos finds the ends, started at the layer's part of the whole matrix' top eigenvector, and
    Hutch++ the trace. No product serves two layers: a vector that spans several sees the blocks between them, too.
    """
    if context.plan.layers is None:
        return
    layers, told = layers_of(context.space), context.watched("hessian_layers")
    for done, layer in enumerate(layers, start=1):
        found = _curvature(context, layer, context.plan.layers)
        yield LayerCurvature(
            name=layer.name,
            tensors=tuple(layer.tensors),
            parameters=layer.size,
            lambda_max=_LAMBDA_MAX.bounded(found.lambda_max),
            lambda_min=_LAMBDA_MIN.bounded(found.lambda_min),
            trace=_TRACE.bounded(found.trace),
        )
        told(done, len(layers))


def _curvature(context: Context, layer: Layer, effort: Effort) -> Curvature:
    positions = layer.positions(context.space, context.subject.x.device)
    if context.dense_hessian is not None:
        return dense_curvature(context.dense_hessian[positions][:, positions])
    block = DiagonalBlock(context.hessian_operator, positions)
    if is_written_out(effort, layer.size):
        return written_out_curvature(block)
    return iterative_curvature(
        block,
        start=context.hessian.top[positions],
        memory_budget_bytes=context.memory_budget_bytes,
        generator=context.generator(f"curvature/layer/{layer.name}"),
        effort=effort,
    )
