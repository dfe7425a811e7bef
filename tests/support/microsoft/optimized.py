"""Exported networks as ONNX Runtime's two optimisers rewrite them, and as its model builder would write them."""

import logging
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import onnx
import onnxruntime

from tests.support.microsoft.networks import HEADS, WIDTH

# Of the standard's domain, but ONNX Runtime's all the same.
_ITS_OWN = ("SimplifiedLayerNormalization",)


def optimized_by_session(model: bytes, level: str) -> onnx.ModelProto:
    """What a session makes of a model at a graph optimisation level ("BASIC", "EXTENDED") on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return onnx.load(path)


def optimized_by_tool(model: bytes, kind: str, *, multi_head: bool) -> onnx.ModelProto:
    """What ``onnxruntime.transformers.optimizer`` makes of a model of a kind that it knows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnxruntime.transformers.fusion_options import FusionOptions
        from onnxruntime.transformers.optimizer import optimize_model

        options = FusionOptions(kind)
        options.use_multi_head_attention = multi_head
        logging.disable(logging.WARNING)
        try:
            optimizer = optimize_model(
                onnx.load_from_string(model),
                model_type=kind,
                num_heads=HEADS,
                hidden_size=WIDTH,
                optimization_options=options,
                opt_level=0,
                use_gpu=False,
            )
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "optimized.onnx"
                optimizer.save_model_to_file(str(path))
                return onnx.load(path)
        finally:
            logging.disable(logging.NOTSET)


def contributed(model: onnx.ModelProto) -> Counter[str]:
    """How often which of ONNX Runtime's own operators stand in a model."""
    nodes = (node for node in model.graph.node if node.domain not in ("", "ai.onnx") or node.op_type in _ITS_OWN)
    return Counter(node.op_type for node in nodes)
