"""onnxruntime on the CPU, the witness of a lowered ONNX network."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from eigengate.errors import ModelExecutionError
from eigengate.loading.onnx.dtypes import torch_dtype
from eigengate.loading.program import Runtime


@final
class OnnxRuntime(Runtime):
    """Runs the file as uploaded, graph optimisation off, on one device: the CPU.

    onnxruntime is imported on first use and told there not to report home. Since 1.32 its import alone writes a device
    identity and an event database to the user's cache, which no call afterwards prevents: whoever starts the process
    sets ``ORT_DISABLE_TELEMETRY=1``, as the workers do.

    Args:
        model: The file.
        weights: Numbers of initialisers that the file says to lie elsewhere, by name: the bytes of a file are limited
            to two gibibytes.
    """

    def __init__(self, model: bytes, weights: Mapping[str, NDArray[np.generic]] | None = None) -> None:
        self._model = model
        self._weights = weights or {}

    @property
    def name(self) -> str:
        return f"onnxruntime {_onnxruntime().__version__}"

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        names = [output.name for output in self._session.get_outputs()]
        values = self._run(self._session, names, inputs)
        return tuple(values[name] for name in names)

    def values(self, names: Sequence[str], *inputs: Tensor) -> dict[str, Tensor]:
        model = onnx.load_from_string(self._model)
        made = {name for node in model.graph.node for name in node.output}
        wanted = [name for name in dict.fromkeys(names) if name in made]
        declared = {output.name for output in model.graph.output}
        # Without a type onnxruntime infers it.
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in declared)
        found = self._run(self._open(model.SerializeToString()), wanted, inputs)
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}

    @cached_property
    def _session(self) -> Any:
        return self._open(self._model)

    def _open(self, model: bytes) -> Any:
        ort = _onnxruntime()
        options = _options(ort)
        # The session does not copy them: they live as long as we keep the arrays.
        if self._weights:
            options.add_external_initializers(list(self._weights), [_ort_value(ort, w) for w in self._weights.values()])
        try:
            return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelExecutionError(f"onnxruntime refuses the model: {error}") from error

    def _run(self, session: Any, names: Sequence[str], inputs: Sequence[Tensor]) -> dict[str, Any]:
        expected = session.get_inputs()
        if len(inputs) != len(expected):
            raise ModelExecutionError(f"the model takes {len(expected)} inputs, {len(inputs)} given")
        try:
            feeds = {
                spec.name: _as_declared(value, spec.type).numpy() for spec, value in zip(expected, inputs, strict=True)
            }
            results = session.run(list(names), feeds)
        except Exception as error:
            raise ModelExecutionError(f"onnxruntime failed: {error}") from error
        return {name: _value(result) for name, result in zip(names, results, strict=True)}


def _as_declared(value: Tensor, declared: str) -> Tensor:
    """A CPU tensor in the type onnxruntime spells ``tensor(float)``."""
    element = declared.removeprefix("tensor(").removesuffix(")").upper()
    return value.detach().to(device="cpu", dtype=torch_dtype(onnx.TensorProto.DataType.Value(element))).contiguous()


def _value(result: Any) -> Any:
    """A tensor where onnxruntime gives an array; sequences stay lists, an empty optional None."""
    return torch.from_numpy(result.copy()) if isinstance(result, np.ndarray) and result.dtype != object else result


def _onnxruntime() -> Any:
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _options(ort: Any) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    return options


def _ort_value(ort: Any, array: NDArray[np.generic]) -> Any:
    """The array under its ONNX type: numpy's own bfloat16 is none that onnxruntime knows."""
    element_type = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, element_type)
