"""The architectures that ship inside the onnx package, with random weights: the files fill most with one number."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from eigengate.loading.onnx import OnnxRuntime

LIGHT_MODELS = (
    "bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet", "vgg19",
    "zfnet512",
)  # fmt: skip
_FOLDER = Path(onnx.__file__).parent / "backend/test/data/light"


@cache
def shipped(name: str) -> bytes:
    """The file as it is."""
    return (_FOLDER / f"light_{name}.onnx").read_bytes()


def shipped_input(model: onnx.ModelProto) -> Tensor:
    """An image of ascending numbers from zero to one, of the declared shape."""
    given = {initializer.name for initializer in model.graph.initializer}
    (fed,) = (value for value in model.graph.input if value.name not in given)
    shape = [dim.dim_value for dim in fed.type.tensor_type.shape.dim]
    count = int(np.prod(shape))
    return (torch.arange(count, dtype=torch.float32) / count).reshape(shape)


def with_random_weights(name: str) -> onnx.ModelProto:
    """The file's network, its weights drawn so that activations keep their size from layer to layer."""
    model = onnx.load_from_string(shipped(name))
    stored = {initializer.name: numpy_helper.to_array(initializer) for initializer in model.graph.initializer}
    made = {
        node.output[0]: tuple(stored[node.input[0]]) for node in model.graph.node if node.op_type == "ConstantOfShape"
    }
    shapes = made | {key: value.shape for key, value in stored.items() if value.dtype == np.float32}
    drawn = dict(_drawn(model.graph, shapes, np.random.default_rng(len(name))))
    model.ir_version = 8  # older files repeat every initialiser among the inputs
    model.graph.CopyFrom(_with(model.graph, drawn))
    if any(node.op_type == "BatchNormalization" for node in model.graph.node):
        model.graph.CopyFrom(_with(model.graph, _statistics(model)))
        model.graph.CopyFrom(_with(model.graph, _tempered_classifier(model)))
    return model


def image(model: onnx.ModelProto, count: int) -> Tensor:
    """Random images of the declared shape."""
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    return torch.randn(count, *shape[1:], generator=torch.Generator().manual_seed(0))


def _statistics(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The running statistics that training on one image would leave: without them deep networks go flat."""
    by_itself = onnx.ModelProto()
    by_itself.CopyFrom(model)
    normalisations = [node for node in by_itself.graph.node if node.op_type == "BatchNormalization"]
    normalised = {node.input[0]: tuple(node.input[3:5]) for node in normalisations}
    for node in normalisations:
        node.op_type = "InstanceNormalization"
        del node.input[3:]
    seen = OnnxRuntime(by_itself.SerializeToString()).values(list(normalised), image(model, 1))
    moments = {name: (value.mean((0, 2, 3)), value.var((0, 2, 3), correction=0)) for name, value in seen.items()}
    return {
        statistic: moment.numpy()
        for name, statistics in normalised.items()
        for statistic, moment in zip(statistics, moments[name], strict=True)
    }


def _tempered_classifier(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The last layer, scaled so that its outputs spread by four: a softmax behind it is neither flat nor saturated."""
    layer = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")][-1]
    (outputs,) = OnnxRuntime(model.SerializeToString()).values([layer.output[0]], image(model, 1)).values()
    stored = {initializer.name: numpy_helper.to_array(initializer) for initializer in model.graph.initializer}
    reshaped = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Reshape"}
    operands = [reshaped.get(name, name) for name in layer.input[1:]]
    return {name: 4 * stored[name] / outputs.std().numpy() for name in operands}


def _with(graph: onnx.GraphProto, drawn: dict[str, np.ndarray]) -> onnx.GraphProto:
    """The graph with these initialisers instead of those that fill shapes with a number."""
    sizes = {node.input[0] for node in graph.node if node.op_type == "ConstantOfShape"}
    replaced = drawn.keys() | sizes
    kept = [initializer for initializer in graph.initializer if initializer.name not in replaced]
    stored = {initializer.name for initializer in graph.initializer}
    return helper.make_graph(
        [node for node in graph.node if node.op_type != "ConstantOfShape"],
        graph.name,
        [value for value in graph.input if value.name not in stored],
        graph.output,
        [*kept, *(numpy_helper.from_array(value, name) for name, value in drawn.items())],
    )


def _drawn(
    graph: onnx.GraphProto, shapes: dict[str, tuple[int, ...]], generator: np.random.Generator
) -> Iterator[tuple[str, np.ndarray]]:
    for node in graph.node:
        for position, key in enumerate(node.input):
            if key in shapes:
                yield key, _values(node.op_type, position, shapes[key], generator)


def _values(operator: str, position: int, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    noise = generator.standard_normal(shape, dtype=np.float32)
    if operator in ("Conv", "Gemm") and position == 1:
        return noise * np.float32((2 / np.prod(shape[1:])) ** 0.5)  # He: half of it is lost in the activation
    if (operator, position) in (("BatchNormalization", 1), ("BatchNormalization", 4), ("Mul", 1)):
        return 1 + np.tanh(noise) / 3  # scales and variances
    if (operator, position) == ("BatchNormalization", 2):
        return 3 + noise / 10  # rectifiers mostly open: a difference quotient then meets few kinks
    return noise / 10
