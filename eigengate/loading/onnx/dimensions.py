"""What an ONNX file calls the sizes that it leaves open, e.g. ``["batch", "seq", 6]``."""

import onnx

from eigengate.loading.program import DimensionNames


def dimension_names(model: onnx.ModelProto) -> DimensionNames:
    """The names of the dimensions of every input that has a shape; None where a dimension has a size or no name."""
    return {
        value.name: tuple(dim.dim_param or None for dim in value.type.tensor_type.shape.dim)
        for value in model.graph.input
        if value.type.tensor_type.HasField("shape")
    }
