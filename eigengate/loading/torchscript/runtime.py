"""The original TorchScript executor, optimisation off: the witness our lowering is compared with."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, final

import torch
from torch import Tensor

from eigengate.errors import ModelExecutionError
from eigengate.loading.program import Runtime
from eigengate.loading.torchscript.lift import label


@contextlib.contextmanager
def plain_executor() -> Iterator[None]:
    """Run TorchScript without profiling, fusion or graph optimisation, and restore what was set before.

    The optimising executor changes results after its first calls (pytorch issues 86804, 108670).
    """
    executor = torch._C._jit_set_profiling_executor(True)
    profiling = torch._C._get_graph_executor_optimize()
    mode = torch._C._jit_set_profiling_mode(False)
    tensor_expressions = torch._C._jit_texpr_fuser_enabled()
    torch._C._jit_set_texpr_fuser_enabled(False)
    torch._C._set_graph_executor_optimize(False)
    try:
        yield
    finally:
        torch._C._jit_set_profiling_executor(executor)
        torch._C._jit_set_profiling_mode(mode)
        torch._C._jit_set_texpr_fuser_enabled(tensor_expressions)
        torch._C._set_graph_executor_optimize(profiling)


@final
class TorchScriptRuntime(Runtime):
    """A loaded module on TorchScript's own interpreter."""

    def __init__(self, module: torch.jit.ScriptModule) -> None:
        self._module = module

    @property
    def name(self) -> str:
        return f"TorchScript interpreter, torch {torch.__version__}"

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(_flatten(self._run(self._module, inputs)))

    def values(self, names: Sequence[str], *inputs: Tensor) -> dict[str, Tensor]:
        wanted = set(names)
        graph = self._module.inlined_graph
        results, found = [], []
        for node in list(graph.nodes()):
            for value in list(node.outputs())[:1]:
                name = label(node.kind(), value)
                if name in wanted and value.type().kind() == "TensorType":
                    # A copy, taken at once: a later in-place operator must not reach it.
                    copy = graph.create("aten::alias_copy", [value], 1).insertAfter(node)
                    results.append(copy.output())
                    found.append(name)
        if not found:
            return {}
        pack = graph.appendNode(graph.create("prim::TupleConstruct", results, 1))
        pack.output().setType(torch._C.TupleType([torch._C.TensorType.get()] * len(results)))
        for _ in list(graph.outputs()):
            graph.eraseOutput(0)
        graph.registerOutput(pack.output())
        function = torch._C._create_function_from_graph("watched", graph)
        values = self._run(function, (self._module._c, *inputs, *self._defaults(len(inputs))))
        return dict(zip(found, values, strict=True))

    def _defaults(self, given: int) -> list[Any]:
        arguments = self._module._c._get_method("forward").schema.arguments[1 + given :]
        return [argument.default_value for argument in arguments]

    def _run(self, function: Any, inputs: Sequence[Any]) -> Any:
        with torch.no_grad(), plain_executor():
            try:
                return function(*inputs)
            except Exception as error:
                reason = str(error).strip().splitlines() or [type(error).__name__]
                raise ModelExecutionError(
                    f"The model raised on its own executor: {reason[-1][:300]}",
                    hint="Check that the saved model runs on the probe data.",
                ) from error


def _flatten(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _flatten(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _flatten(item)
