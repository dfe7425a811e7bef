"""Opening the batch size that a trace has fixed, where that is safe.

A trace writes down the size of its example batch wherever Python looked at it: ``x.reshape(x.shape[0], -1)`` becomes a
reshape to [4, -1]. Which of the fours in a graph mean the batch nobody has noted. Some are taken to, and whether that
was right is then tried: samples together must give what each gives in a batch of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, final

import torch
from torch import Tensor

from eigengate.errors import EigengateError
from eigengate.loading.program import TensorSpec
from eigengate.loading.torchscript.ir import Block, Network, Node
from eigengate.loading.torchscript.program import TorchScriptProgram
from eigengate.loading.torchscript.shapes import open_sizes
from eigengate.loading.torchscript.torch_graph import parse_schema

# Kernels add up a batch of another size in another order, in float32.
_RTOL: Final = 1e-4
_ATOL: Final = 1e-5
_BATCH: Final = "#batch"
_SIZE: Final = "aten::size.int(Tensor self, int dim) -> int"
_PRODUCT: Final = "aten::mul.int(int a, int b) -> int"

Means = Callable[[int, int, int], bool]
"""(number, its place in a list of sizes, batch size): whether the number is taken for the batch's."""

_GUESSES: Final[Sequence[Means]] = (
    lambda number, place, batch: number == batch or (place == 0 and number > 0 and number % batch == 0),
    lambda number, place, batch: place == 0 and number > 0 and number % batch == 0,
    lambda number, _, batch: number == batch,
)


def opened(program: TorchScriptProgram) -> TorchScriptProgram:
    """The program with what its trace has fixed opened as far as it goes, given the sizes it was traced with.

    A batch of one sample is left alone: ones mean too many things, and one by one is how such a program runs anyway. So
    does one that draws random numbers.
    """
    specs = open_sizes(program)
    sizes = {spec.shape[0] if spec.shape else None for spec in specs}
    batch = sizes.pop() if len(sizes) == 1 else None
    if batch is None or batch < 2 or program.drawing:
        return program.with_inputs(specs)
    for means in _GUESSES:
        candidate = program.rebatched(_Rewriting(program.network, batch, means).network, batch)
        free = open_sizes(candidate)
        if all(spec.shape and spec.shape[0] is None for spec in free) and _agrees(candidate, program, batch):
            return candidate.with_inputs(free)
    return program.with_inputs(specs)


def _agrees(candidate: TorchScriptProgram, program: TorchScriptProgram, batch: int) -> bool:
    """Whether samples together give what each gives repeated to fill the batch that the trace has fixed."""
    generator = torch.Generator().manual_seed(0)
    samples = [_drawn(spec, 3 if batch != 3 else 2, generator) for spec in program.inputs]
    try:
        with torch.no_grad():
            together = candidate(candidate.parameters, *samples)
            for row in range(samples[0].shape[0]):
                filled = (x[row : row + 1].expand(batch, *x.shape[1:]) for x in samples)
                for ours, theirs in zip(together, program(program.parameters, *filled), strict=True):
                    if not torch.allclose(ours[row], theirs[0], rtol=_RTOL, atol=_ATOL, equal_nan=True):
                        return False
    except (EigengateError, RuntimeError, IndexError):
        return False
    return True


def _drawn(spec: TensorSpec, n: int, generator: torch.Generator) -> Tensor:
    shape = (n, *(size or 1 for size in (spec.shape or ())[1:]))
    if spec.dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(spec.dtype)
    # Small whole numbers are tokens of every vocabulary.
    return torch.randint(0, 2, shape, generator=generator).to(spec.dtype)


@final
class _Rewriting:
    """A copy of a network in which the sizes that are taken for the batch's are read from its first input."""

    def __init__(self, network: Network, batch: int, means: Means) -> None:
        self._batch, self._means = batch, means
        self._sizes: dict[int, str] = {batch: _BATCH}
        self.network = replace(
            network, known=dict(network.known), kinds=dict(network.kinds), tuples=dict(network.tuples)
        )
        body = self._block(network.body)
        self.network.body = replace(body, nodes=[*self._read_batch(network.body.parameters[0]), *body.nodes])

    def _read_batch(self, first: str) -> list[Node]:
        nodes = [self._made(_SIZE, [first, self._constant(0)], _BATCH)]
        for number, name in self._sizes.items():
            if name != _BATCH:
                nodes.append(self._made(_PRODUCT, [_BATCH, self._constant(number // self._batch)], name))
        return nodes

    def _made(self, schema: str, inputs: list[str], output: str) -> Node:
        self.network.kinds[output] = "IntType"
        return Node(schema.partition(".")[0], output, parse_schema(schema), inputs, [output])

    def _constant(self, value: int) -> str:
        name = f"#{value}"
        self.network.known[name] = value
        self.network.kinds[name] = "IntType"
        return name

    def _block(self, block: Block) -> Block:
        nodes = [rewritten for node in block.nodes for rewritten in self._node(node)]
        return Block(list(block.parameters), nodes, list(block.returns))

    def _node(self, node: Node) -> list[Node]:
        copied = replace(node, inputs=list(node.inputs), outputs=list(node.outputs))
        copied.blocks = [self._block(inner) for inner in node.blocks]
        if node.operator == "prim::ListConstruct":
            copied.inputs = [self._element(name, place) for place, name in enumerate(node.inputs)]
            return [copied]
        if node.operator == "aten::arange":
            copied.inputs = [self._element(name, place) for place, name in enumerate(node.inputs)]
            return [copied]
        lists = [self._list(node, place) for place in range(len(node.inputs))]
        for place, made in enumerate(lists):
            if made is not None:
                copied.inputs[place] = made.outputs[0]
        return [*(made for made in lists if made is not None), copied]

    def _element(self, name: str, place: int) -> str:
        """The name of a size: that of the batch, or of a multiple of it, if the number is taken for one."""
        number = self.network.known.get(name)
        if type(number) is not int or not self._means(number, place, self._batch):
            return name
        return self._sizes.setdefault(number, f"{_BATCH}*{number // self._batch}")

    def _list(self, node: Node, place: int) -> Node | None:
        """The list that takes the place of a constant one, if any of its numbers means the batch."""
        numbers = self.network.known.get(node.inputs[place])
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            return None
        names = [self._element(self._constant(number), at) for at, number in enumerate(numbers)]
        if not any(name.startswith(_BATCH) for name in names):
            return None
        output = f"{node.inputs[place]}#{id(node)}.{place}"
        self.network.kinds[output] = "ListType"
        return Node("prim::ListConstruct", output, None, names, [output])
