"""onnxruntime on the CPU, the witness of a lowered ONNX network."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, final

import onnx
import torch
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
    """

    def __init__(self, model: bytes) -> None:
        self._model = model

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
        return self._run(_session(model.SerializeToString()), wanted, inputs)

    @cached_property
    def _session(self) -> Any:
        return _session(self._model)

    def _run(self, session: Any, names: Sequence[str], inputs: Sequence[Tensor]) -> dict[str, Tensor]:
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
        return {name: torch.from_numpy(result.copy()) for name, result in zip(names, results, strict=True)}


def _as_declared(value: Tensor, declared: str) -> Tensor:
    """A CPU tensor in the type onnxruntime spells ``tensor(float)``."""
    element = declared.removeprefix("tensor(").removesuffix(")").upper()
    return value.detach().to(device="cpu", dtype=torch_dtype(onnx.TensorProto.DataType.Value(element))).contiguous()


def _onnxruntime() -> Any:
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _session(model: bytes) -> Any:
    ort = _onnxruntime()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelExecutionError(f"onnxruntime refuses the model: {error}") from error
