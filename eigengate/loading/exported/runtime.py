"""PyTorch's own executor of exported programs: the witness our lowering is compared with.

It is given the re-emitted archive, never the uploaded bytes, and it runs the graph as ``torch.fx`` interprets it: its
own reading of the operators' arguments, its own fused kernels, no rewriting.
"""

import contextlib
import functools
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from eigengate.errors import ModelExecutionError
from eigengate.loading.batching import repeated
from eigengate.loading.exported.archive import Archive
from eigengate.loading.exported.document import Document
from eigengate.loading.exported.reemission import MODEL, reemitted
from eigengate.loading.program import Runtime
from eigengate.loading.torchscript.draws import seeded
from eigengate.loading.torchscript.randomness import draws


@final
class ExportedRuntime(Runtime):
    """A checked program on PyTorch's own loader and interpreter; it is loaded when it is first asked."""

    def __init__(self, document: Document, archive: Archive, *, is_random: bool = False) -> None:
        """
        Args:
            document: What the archive says.
            archive: What it holds.
            is_random: Whether the program draws random numbers; every sample of a batch then gets those of the first.
        """
        self._document = document
        self._is_random = is_random
        self._archive: Archive | None = archive

    @property
    def name(self) -> str:
        return f"torch.export interpreter (re-emitted archive), torch {torch.__version__}"

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        n = inputs[0].shape[0] if inputs else 0
        if self._is_random and n > 1:
            samples = zip(*(torch.split(tensor, 1) for tensor in inputs), strict=True)
            alone = [self._outputs(repeated(sample, n)) for sample in samples]
            return tuple(torch.cat([each[:1] for each in outputs]) for outputs in zip(*alone, strict=True))
        return self._outputs(inputs)

    def _outputs(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        results, _ = self._run(inputs, frozenset())
        signature = self._document.cleaned["graph_module"]["signature"]["output_specs"]
        kept = [value for value, spec in zip(results, signature, strict=True) if "user_output" in spec]
        return tuple(value for value in kept if isinstance(value, Tensor))

    def values(self, names: Sequence[str], *inputs: Tensor) -> dict[str, Tensor]:
        wanted = {name.rpartition("%")[2]: name for name in names}
        _, seen = self._run(inputs, frozenset(wanted))
        return {wanted[name]: value for name, value in seen.items()}

    def _run(self, inputs: Sequence[Tensor], wanted: frozenset[str]) -> tuple[Sequence[Any], dict[str, Tensor]]:
        program = self._program
        watching = _watching(program.graph_module, wanted)
        with torch.no_grad(), seeded() if self._is_random else contextlib.nullcontext():
            try:
                results = watching.run(*self._arguments(program, inputs))
            except Exception as error:
                reason = str(error).strip().splitlines() or [type(error).__name__]
                raise ModelExecutionError(
                    f"The model raised on its own executor: {reason[0][:300]}",
                    hint="Check that the exported program runs on the probe data.",
                ) from error
        return results, watching.seen

    def _arguments(self, program: Any, inputs: Sequence[Tensor]) -> list[Any]:
        """What the graph takes, in order; copies of inputs and buffers, for a network may write into those."""
        given = iter(inputs)
        trained = frozenset(program.graph_signature.parameters)
        tensors = {
            path: tensor if path in trained or not isinstance(tensor, Tensor) else tensor.clone()
            for path, tensor in {**program.state_dict, **program.constants}.items()
        }
        paths = {lifted.value: lifted.path for lifted in self._document.lifted()}
        names = {tensor.name for tensor in self._document.inputs()}
        fixed = self._document.constants()
        return [
            tensors[paths[name]].detach()
            if name in paths
            else next(given).detach().clone()
            if name in names
            else fixed[name]
            for name in self._document.graph.inputs
        ]

    @functools.cached_property
    def _program(self) -> Any:
        from torch.export.pt2_archive._package import load_pt2  # seconds, and only an audit needs it

        assert self._archive is not None
        try:
            # torch.export.load does the same, but says what goes wrong to the log.
            program = load_pt2(reemitted(self._document, self._archive)).exported_programs[MODEL]
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise ModelExecutionError(
                f"PyTorch {torch.__version__} cannot load the exported program: {reason[-1][:300]}",
                hint="Export it with the PyTorch version that the audit runs with, or an older one.",
            ) from error
        # The weights are in the program now.
        self._archive = None
        return program


def _watching(module: torch.fx.GraphModule, wanted: frozenset[str]) -> Any:
    """An interpreter that keeps the values of some nodes."""

    class Watching(torch.fx.Interpreter):
        seen: dict[str, Tensor] = {}  # noqa: RUF012 - one class for one run

        def run_node(self, n: torch.fx.Node) -> Any:
            value = super().run_node(n)
            if n.name in wanted and isinstance(value, Tensor):
                # A copy, taken at once: a later operator must not reach it.
                self.seen[n.name] = value.clone()
            return value

        def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
            if _draws(target):  # random numbers are made in the order of memory
                args, kwargs = tree_map_only(Tensor, lambda operand: operand.contiguous(), (args, kwargs))
            return super().call_function(target, args, kwargs)

    return Watching(module)


def _draws(target: Any) -> bool:
    """Whether an operator draws random numbers and is given the layout that they are made in."""
    if not isinstance(target, torch._ops.OpOverload):
        return False
    name, schema = target._schema.name, target._schema
    return draws(name, schema.overload_name) and not name.endswith("_")
