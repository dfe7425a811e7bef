"""The original TorchScript executor, optimisation off: the witness our lowering is compared with."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, final

import torch
from torch import Tensor

from eigengate.errors import ModelExecutionError
from eigengate.loading.batching import repeated
from eigengate.loading.functional_model import filled_up
from eigengate.loading.program import Runtime
from eigengate.loading.torchscript.draws import seeded
from eigengate.loading.torchscript.randomness import draws
from eigengate.loading.torchscript.torch_graph import label, living_graph, parse_schema, walk


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

    def __init__(
        self,
        module: torch.jit.ScriptModule,
        taken: Callable[[torch.jit.ScriptModule], torch.jit.ScriptModule],
        batch: int | None = None,
        *,
        is_random: bool = False,
    ) -> None:
        """
        Args:
            module: The module in evaluation mode.
            taken: Gives the module that one call runs: itself, or a copy where running it changes it.
            batch: The only number of samples it takes at once, if it is so; the last sample then fills up batches.
            is_random: Whether it draws random numbers; every sample of a batch then gets those of the first.
        """
        self._module = module
        self._taken = taken
        self._batch = batch
        self._is_random = is_random
        # Some networks take another path while gradients are recorded, and that path is the one we differentiate.
        self._asks_for_gradients = any(node.kind() == "aten::is_grad_enabled" for node in walk(module.inlined_graph))
        if self._asks_for_gradients:
            for parameter in module.parameters():
                parameter.requires_grad_(parameter.is_floating_point())

    @property
    def name(self) -> str:
        return f"TorchScript interpreter, torch {torch.__version__}"

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        n = inputs[0].shape[0] if inputs else 0
        if self._is_random and n > 1:
            samples = zip(*(torch.split(tensor, 1) for tensor in inputs), strict=True)
            alone = [self._outputs(repeated(sample, n)) for sample in samples]
            return tuple(torch.cat([each[:1] for each in outputs]) for outputs in zip(*alone, strict=True))
        if self._batch is None:
            return self._outputs(inputs)
        filled = [filled_up(tensor, self._batch) for tensor in inputs]
        batches = zip(*(torch.split(tensor, self._batch) for tensor in filled), strict=True)
        return tuple(torch.cat(parts)[:n] for parts in zip(*map(self._outputs, batches), strict=True))

    def _outputs(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        module = self._taken(self._module)
        if self._is_random:
            outcome = self._run(self._drawing, (module._c, *inputs, *self._defaults(len(inputs))))
        else:
            outcome = self._run(module, inputs)
        return tuple(tensor.detach() for tensor in _flatten(outcome))

    def values(self, names: Sequence[str], *inputs: Tensor) -> dict[str, Tensor]:
        graph = _drawing_graph(self._module) if self._is_random else self._module.inlined_graph
        found = _watch(graph, set(names))
        if not found:
            return {}
        function = torch._C._create_function_from_graph("watched", graph)
        module, n = self._taken(self._module), inputs[0].shape[0] if inputs else 0
        size = self._batch or n
        given = [filled_up(tensor, size)[:size] for tensor in inputs] if self._batch else inputs
        values = self._run(function, (module._c, *given, *self._defaults(len(inputs))))
        return {found[place]: _rows(value.detach(), size, n) for place, value in values.items()}

    def _defaults(self, given: int) -> list[Any]:
        arguments = self._module._c._get_method("forward").schema.arguments[1 + given :]
        return [argument.default_value for argument in arguments]

    @functools.cached_property
    def _drawing(self) -> Any:
        return torch._C._create_function_from_graph("drawing", _drawing_graph(self._module))

    def _run(self, function: Any, inputs: Sequence[Any]) -> Any:
        seeding = seeded() if self._is_random else contextlib.nullcontext()
        with torch.set_grad_enabled(self._asks_for_gradients), plain_executor(), seeding:
            try:
                # The module may write into what it is given.
                return function(*(value.clone() if isinstance(value, Tensor) else value for value in inputs))
            except Exception as error:
                reason = str(error).strip().splitlines() or [type(error).__name__]
                raise ModelExecutionError(
                    f"The model raised on its own executor: {reason[-1][:300]}",
                    hint="Check that the saved model runs on the probe data.",
                ) from error


def _drawing_graph(module: torch.jit.ScriptModule) -> Any:
    """A module's graph in which what is random has its operands in plain order: numbers are drawn in that of memory."""
    graph: Any = living_graph(module)
    for node in [node for node in walk(graph) if _draws(node)]:
        for place, value in enumerate(list(node.inputs())):
            if value.type().kind() == "TensorType":
                layout = graph.insertConstant(_CONTIGUOUS)
                layout.node().moveBefore(node)
                plain = graph.create("aten::contiguous", [value, layout], 1).insertBefore(node)
                node.replaceInput(place, plain.output())
    return graph


def _draws(node: Any) -> bool:
    """Whether a node draws random numbers and is given the layout that they are made in."""
    overload = parse_schema(node.schema()).overload_name if node.schema() != "(no schema)" else ""
    return draws(node.kind(), overload) and not node.kind().endswith("_")


# TorchScript's number for torch.contiguous_format.
_CONTIGUOUS: Final = 0


def _watch(graph: Any, wanted: set[str]) -> dict[int, str]:
    """Make a graph return a dictionary of the wanted values, by their place in the outcome, instead of its result.

    A dictionary, since nodes inside branches and loops can fill it.
    """
    store = graph.create("prim::DictConstruct", [], 1)
    store.output().setType(torch._C.DictType(torch._C.IntType.get(), torch._C.TensorType.get()))
    found: dict[int, str] = {}
    for node in list(walk(graph)):
        for value in list(node.outputs())[:1]:
            name = label(node.kind(), value)
            if name in wanted and value.type().kind() == "TensorType":
                # A copy, taken at once: a later in-place operator must not reach it.
                copy = graph.create("aten::alias_copy", [value], 1).insertAfter(node)
                key = graph.insertConstant(len(found)).node()
                key.moveBefore(copy)
                graph.create("aten::_set_item", [store.output(), key.output(), copy.output()], 0).insertAfter(copy)
                found[len(found)] = name
    graph.prependNode(store)
    for _ in list(graph.outputs()):
        graph.eraseOutput(0)
    graph.registerOutput(store.output())
    return found


def _rows(value: Tensor, size: int, n: int) -> Tensor:
    """The first ``n`` samples' part of a value that was made for ``size`` of them."""
    if n >= size or value.dim() == 0 or value.shape[0] % size:
        return value
    return value[: value.shape[0] // size * n]


def _flatten(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _flatten(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _flatten(item)
