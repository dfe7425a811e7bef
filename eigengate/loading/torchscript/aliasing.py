"""Which values share memory, so that in-place operators can be turned into functional ones without changing a result.

Every tensor value has *origins*, the pieces of memory it may live in: a fresh result has a new one, a view those of
its base, a container those of its elements, a part of a split its own share of the whole. An in-place operator replaces
the value of its argument; that is right when nothing else that shares an origin is read afterwards, or when the view
can be written back into its base.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from eigengate.loading.torchscript.ir import Block, Network, Node
from eigengate.loading.torchscript.views import RESHAPING, WRITE_BACK

_CARRIERS: Final = frozenset(
    [
        "prim::ListConstruct",
        "prim::TupleConstruct",
        "prim::DictConstruct",
        "prim::ListUnpack",
        "prim::TupleUnpack",
        "prim::TupleIndex",
        "prim::TupleSlice",
        "prim::unchecked_unwrap_optional",
        "aten::__getitem__",
        "aten::append",
        "aten::extend",
        "aten::insert",
        "aten::pop",
        "aten::_set_item",
        "aten::list",
        "aten::dict",
        "aten::copy",
        "aten::values",
        "aten::items",
        "aten::get",
        "aten::slice",
        "aten::add",
        "aten::add_",
        "aten::_unwrap_optional",
        "aten::setdefault",
        "aten::update",
        "aten::select",
    ]
)
_MEMORYLESS: Final = frozenset(
    {"IntType", "FloatType", "BoolType", "NumberType", "StringType", "NoneType", "DeviceObjType"}
)


Origin = tuple[str, ...]
"""A piece of memory; a longer tuple is a part of the piece that its beginning names."""

_SPLITS: Final = frozenset(
    {"aten::chunk", "aten::split", "aten::split_with_sizes", "aten::unbind", "aten::tensor_split"}
    | {"aten::unsafe_chunk", "aten::unsafe_split", "aten::unsafe_split_with_sizes"}
)


def _overlap(one: frozenset[Origin], other: frozenset[Origin]) -> bool:
    return any(a[: len(b)] == b[: len(a)] for a in one for b in other)


@final
@dataclass
class Aliasing:
    """The outcome: what to write back where, and which in-place operators have no functional equivalent here."""

    bases: dict[int, list[Node]] = field(default_factory=dict)
    """For an in-place node (by id), the views to undo one after another, innermost first."""
    refused: list[Node] = field(default_factory=list)
    written: set[str] = field(default_factory=set)
    """Values in whose memory something writes, by the name they begin under: of an input, a buffer, an attribute."""


def analyse(network: Network) -> Aliasing:
    """Find, for every in-place operator of a network, how to make it functional."""
    analysis = _Analysis(network)
    analysis.collect_uses(network.body)
    analysis.visit(network.body.nodes)
    return analysis.outcome


@final
class _Analysis:
    def __init__(self, network: Network) -> None:
        self.outcome = Aliasing()
        self.kinds: Mapping[str, str] = network.kinds
        self.origins: dict[str, frozenset[Origin]] = {}
        self.splits: set[str] = set()
        self.views: dict[str, Node] = {}
        self.last_use: dict[str, int] = {}
        self.position: dict[int, int] = {}
        self.made: dict[str, int] = {}
        self.clock = 0

    def collect_uses(self, block: Block) -> set[str]:
        """Number the nodes in order and note each value's last use; a loop uses what it reads until its end."""
        used: set[str] = set()
        for node in block.nodes:
            self.clock += 1
            self.position[id(node)] = self.clock
            self.last_use.update(dict.fromkeys(node.inputs, self.clock))
            inner = set().union(*(self.collect_uses(inner) for inner in node.blocks))
            if node.operator == "prim::Loop":
                self.last_use.update(dict.fromkeys(inner, self.clock))
            used |= inner | set(node.inputs)
            self.made.update((name, self.clock) for name in node.outputs if name not in node.inputs)
        self.clock += 1
        self.last_use.update(dict.fromkeys(block.returns, self.clock))
        own = {*block.parameters, *(name for node in block.nodes for name in node.outputs if name not in node.inputs)}
        return (used | set(block.returns)) - own

    def of(self, name: str) -> frozenset[Origin]:
        if self.kinds.get(name) in _MEMORYLESS:
            return frozenset()
        return self.origins.setdefault(name, frozenset({(name,)}))

    def visit(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            if node.operator == "prim::If":
                self._branch(node)
            elif node.operator == "prim::Loop":
                self._loop(node)
            elif node.operator == "state::get":
                self._read_state(node)
            elif node.operator == "state::set":
                self._write_state(node)
            elif node.changes_first_input and self.kinds.get(node.inputs[0]) == "TensorType":
                self._check(node)
            else:
                self._pass_on(node)

    def _union(self, names: Sequence[str]) -> frozenset[Origin]:
        return frozenset().union(*(self.of(name) for name in names))

    def _read_state(self, node: Node) -> None:
        """What is read from an attribute is the attribute's own, so that changing it changes the attribute."""
        (slot,), (value,) = node.inputs, node.outputs
        self.origins[value] = self.of(slot)
        self.views[value] = node

    def _write_state(self, node: Node) -> None:
        slot, value = node.inputs
        # Before a branch or a loop is over, the old value may still be the one.
        self.origins[slot] = self.of(slot) | self.of(value)
        self.outcome.written.add(slot)

    def _branch(self, node: Node) -> None:
        for block in node.blocks:
            self.visit(block.nodes)
        for index, output in enumerate(node.outputs):
            self.origins[output] = self._union([block.returns[index] for block in node.blocks])

    def _loop(self, node: Node) -> None:
        (body,) = node.blocks
        carried = body.parameters[1:]
        for name, start in zip(carried, node.inputs[2:], strict=True):
            self.origins[name] = self.of(start)
        refused = len(self.outcome.refused)
        # Twice: what the first pass through the body hands back is what the next one starts from.
        for _ in range(2):
            del self.outcome.refused[refused:]
            self.visit(body.nodes)
            for name, returned in zip(carried, body.returns[1:], strict=True):
                self.origins[name] = self.of(name) | self.of(returned)
        for name, output in zip(carried, node.outputs, strict=True):
            self.origins[output] = self.of(name)

    def _pass_on(self, node: Node) -> None:
        if node.operator in _SPLITS:
            self.splits.update(node.outputs)
        if node.operator == "prim::ListUnpack" and node.inputs[0] in self.splits:
            whole = self.of(node.inputs[0])
            for index, output in enumerate(node.outputs):
                self.origins[output] = frozenset((*origin, str(index)) for origin in whole)
            return
        if node.operator in _CARRIERS and any(
            self.kinds.get(name) != "TensorType" for name in (*node.inputs[:1], *node.outputs)
        ):
            shared = self._union(node.inputs)
            for name in (*node.outputs, *node.inputs[:1]):
                if name in node.outputs or node.changes_first_input:
                    self.origins[name] = self.of(name) | shared if name not in node.outputs else shared
            return
        arguments = node.schema.arguments if node.schema is not None else []
        aliased = [
            name for name, argument in zip(node.inputs, arguments, strict=False) if argument.alias_info is not None
        ]
        for output in node.outputs:
            self.origins[output] = self._union(aliased) if aliased else frozenset({(output,)})
        if len(node.outputs) == 1 and aliased and node.operator in WRITE_BACK:
            self.views[node.outputs[0]] = node

    def _is_alive(self, name: str, now: int) -> bool:
        """Whether a value exists at a moment and is read after it; in a loop, what comes later is made anew first."""
        return self.made.get(name, 0) <= now < self.last_use.get(name, -1)

    def _check(self, node: Node) -> None:
        target, now = node.inputs[0], self.position[id(node)]
        chain: list[Node] = []
        allowed = {target}
        name = target
        while name in self.views:
            chain.append(self.views[name])
            name = self.views[name].inputs[0]
            allowed.add(name)
        shared = self.of(target)
        self.outcome.written |= {origin[0] for origin in shared}
        later = {
            other
            for other, origins in self.origins.items()
            if _overlap(origins, shared) and self._is_alive(other, now) and other != target
        }
        reshapes = node.operator in RESHAPING
        if later - allowed or (reshapes and "state::get" in {view.operator for view in chain}):
            self.outcome.refused.append(node)
        if reshapes:
            # The bases keep both numbers and shape, and nothing is known of how they show the new one.
            chain.clear()
            self.views.pop(target, None)
        # Only as far as somebody still looks.
        while chain and chain[-1].inputs[0] not in later:
            chain.pop()
        self.outcome.bases[id(node)] = chain
