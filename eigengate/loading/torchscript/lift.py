"""Lift a TorchScript method into our graph: modules resolved, constants folded, dead branches gone."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import torch
from torch import Tensor

from eigengate.errors import ModelLoadError
from eigengate.loading.torchscript.folding import Folder
from eigengate.loading.torchscript.ir import Block, Network, Node
from eigengate.loading.torchscript.kinds import is_of_type
from eigengate.loading.torchscript.local_dictionaries import LocalDictionaries
from eigengate.loading.torchscript.local_lists import LocalLists
from eigengate.loading.torchscript.merging import Merged, merge
from eigengate.loading.torchscript.mutability import mutability
from eigengate.loading.torchscript.pruning import prune
from eigengate.loading.torchscript.randomness import drawing, drawing_operators
from eigengate.loading.torchscript.silencing import SPEECH
from eigengate.loading.torchscript.torch_graph import identity, label, living_graph, parse_schema

MAX_NESTING: Final = 60
_RENAMES: Final = frozenset({"prim::unchecked_cast", "prim::data", "aten::detach", "aten::detach_", "aten::alias"})
_DROPOUTS: Final = frozenset(
    f"aten::{name}{suffix}"
    for name in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
    for suffix in ("", "_")
)
_SCHEMA = re.compile(r"^(\w+::\w+)")


def lift(module: torch.jit.ScriptModule) -> Network:
    """Lift a module's ``forward``; its tensors stay shared with the module."""
    network = _lifted(module, module.inlined_graph)
    prune(network)
    if not drawing_operators(network):
        return network
    # Random numbers that nobody reads move the stream that all others come from.
    whole = _lifted(module, living_graph(module))
    prune(whole, lambda node: drawing(node, whole.known) is not None)
    return whole


def _lifted(module: torch.jit.ScriptModule, graph: torch._C.Graph) -> Network:
    lifter = _Lifter(module, graph)
    lifter.network.body = lifter.forward()
    return lifter.network


@final
class _Lifter:
    def __init__(self, module: torch.jit.ScriptModule, graph: torch._C.Graph) -> None:
        self.module = module
        self.graph = graph
        self.network = Network(Block([], [], []), {})
        self.modules: dict[str, tuple[str, Any]] = {}
        self.renamed: dict[str, str] = {}
        self.prefix = ""
        self.calls = 0
        self.folder = Folder(self.network)
        self.dictionaries = LocalDictionaries()
        self.tensors: dict[tuple[Any, ...], str] = {}
        self.mutability = mutability(module, graph)
        tied: dict[tuple[Any, ...], str] = {}
        for name, parameter in module.named_parameters():
            tied.setdefault(identity(parameter), name)
        self.parameter_of = tied

    def forward(self) -> Block:
        schema = self.module._c._get_method("forward").schema
        own, *values = self.graph.inputs()
        self.modules[own.debugName()] = ("", self.module._c)
        parameters = []
        for value, argument in zip(values, schema.arguments[1:], strict=True):
            name = self._declare(value)
            if argument.has_default_value():
                self.network.known[name] = argument.default_value
            elif value.type().kind() in ("TensorType", "OptionalType"):
                parameters.append(name)
            else:
                raise ModelLoadError(
                    f"Input {argument.name!r} of the model has type {value.type()}; only tensors can be given",
                    hint="Wrap the model so that forward takes tensors alone.",
                )
        nodes = self._nodes(self.graph, depth=0)
        (result,) = self.graph.outputs()
        self.network.result = result.type()
        self._leave([self._name(result)])
        returned = self.dictionaries.items(self._name(result))
        if returned is not None:
            self.network.dictionaries[self._name(result)] = returned
        return Block(parameters, nodes, [self._name(result)])

    def _declare(self, value: torch._C.Value) -> str:
        name = self.prefix + value.debugName()
        self.network.kinds[name] = value.type().kind()
        return name

    def _name(self, value: torch._C.Value) -> str:
        name = self.prefix + value.debugName()
        return self.renamed.get(name, name)

    def _block(self, block: Any, depth: int) -> Block:
        if depth > MAX_NESTING:
            raise ModelLoadError(f"The model nests more than {MAX_NESTING} blocks")
        outside, self.folder.lists = self.folder.lists, LocalLists()
        dictionaries, self.dictionaries = self.dictionaries, LocalDictionaries()
        lifted = Block([self._declare(value) for value in block.inputs()], self._nodes(block, depth), [])
        lifted.returns = [self._name(value) for value in block.outputs()]
        self._leave(lifted.returns)
        self.folder.lists, self.dictionaries = outside, dictionaries
        self.folder.lists.give_away(lifted.reads())
        self.dictionaries.give_away(lifted.reads())
        return lifted

    def _leave(self, returns: Sequence[str]) -> None:
        """A block ends; whatever list it has kept to itself nobody can ask any more."""
        self.folder.lists.give_away(returns)
        self.network.local |= self.folder.lists.names

    def _nodes(self, block: Any, depth: int) -> list[Node]:
        lifted: list[Node] = []
        for node in block.nodes():
            for value in node.outputs():
                self._declare(value)
            read = [self._name(value) for value in node.inputs()]
            self.folder.lists.see(node.kind(), read)
            self.dictionaries.see(node.kind(), read, self.network.known)
            handle = _HANDLERS.get(node.kind())
            if handle is not None:
                lifted += handle(self, node, depth)
            elif not self._fold(node):
                lifted.append(self._node(node))
        return lifted

    def _node(self, node: Any, blocks: Sequence[Block] = ()) -> Node:
        outputs = list(node.outputs())
        text = node.schema()
        lifted = Node(
            operator=node.kind(),
            label=self.prefix + label(node.kind(), outputs[0]) if outputs else node.kind(),
            schema=parse_schema(text) if _SCHEMA.match(text) else None,
            inputs=[self._name(value) for value in node.inputs()],
            outputs=[self._name(value) for value in outputs],
            blocks=list(blocks),
        )
        if lifted.returns_first_input:
            self._rename(outputs[0], lifted.inputs[0])
            lifted.outputs = lifted.inputs[:1]
        return lifted

    def _fold(self, node: Any) -> bool:
        """Evaluate what no input can change; True if nothing is left to run."""
        values = self.folder.values(node.kind(), [self._name(value) for value in node.inputs()])
        if not values or not self.mutability.is_fixed(node.output()):
            return False
        if len(values) > 1:
            self.folder.restrict(self._name(node.output()), values)
            return False
        self._know(node.output(), values[0])
        return True

    def _know(self, value: torch._C.Value, known: Any) -> None:
        self.network.known[self._name(value)] = known

    def _rename(self, value: torch._C.Value, name: str) -> None:
        own = self.prefix + value.debugName()
        self.renamed[own] = name

    # Handlers: one per kind of node that is more than a call.

    def constant(self, node: Any, _: int) -> list[Node]:
        value = node.output().toIValue()
        name = self._name(node.output())
        if isinstance(value, Tensor):
            self.network.buffers[name] = (f"constant.{name}", value.detach())
        elif not self.mutability.is_fixed(node.output()):
            self.network.state[name] = value
        else:
            self.network.known[name] = value
        return []

    def get_attribute(self, node: Any, _: int) -> list[Node]:
        name = self._name(node.output())
        owner = self.modules.get(self._name(next(node.inputs())))
        if owner is None:
            return [self._node(node)]
        path = f"{owner[0]}.{node.s('name')}".lstrip(".")
        value = owner[1].getattr(node.s("name"))
        if isinstance(value, torch._C.ScriptModule):
            self.modules[name] = (path, value)
        elif isinstance(value, torch._C.ScriptObject):
            return [self._node(node)]
        elif node.s("name") in self.mutability.attributes or not self.mutability.is_fixed(node.output()):
            self.network.state.setdefault(f"self.{path}", value)
            return [Node("state::get", path, None, [f"self.{path}"], [name])]
        elif isinstance(value, Tensor):
            self._tensor(name, path, value)
        elif _is_tensor_sequence(value):
            elements = [
                self._tensor(f"{name}[{index}]", f"{path}.{index}", element) for index, element in enumerate(value)
            ]
            self.network.tuples[name] = elements
            return [Node("prim::ListConstruct", path, None, elements, [name])]
        else:
            self.network.known[name] = value
        return []

    def _tensor(self, name: str, path: str, tensor: Tensor) -> str:
        """Enter a module's tensor; however often it is read, it has one name."""
        first = self.tensors.setdefault(identity(tensor), name)
        if first != name:
            self.renamed[name] = first
            return first
        self.network.kinds[name] = "TensorType"
        parameter = self.parameter_of.get(identity(tensor))
        if parameter is not None:
            self.network.parameters[name] = parameter
        else:
            self.network.buffers[name] = (path, tensor.detach())
        return name

    def set_attribute(self, node: Any, _: int) -> list[Node]:
        owner_value, value = node.inputs()
        owner = self.modules.get(self._name(owner_value))
        if owner is None:
            return [self._node(node)]
        path = f"{owner[0]}.{node.s('name')}".lstrip(".")
        self.network.state.setdefault(f"self.{path}", owner[1].getattr(node.s("name")))
        return [Node("state::set", path, None, [f"self.{path}", self._name(value)], [])]

    def branch(self, node: Any, depth: int) -> list[Node]:
        condition = self._name(next(node.inputs()))
        blocks = list(node.blocks())
        if condition not in self.network.known:
            return [self._undecided(node, [self._block(block, depth + 1) for block in blocks])]
        taken = blocks[0] if self.network.known[condition] else blocks[1]
        nodes = self._nodes(taken, depth)
        for output, value in zip(node.outputs(), taken.outputs(), strict=True):
            self._rename(output, self._name(value))
        return nodes

    def _undecided(self, node: Any, sides: list[Block]) -> Node:
        """A branch that is decided while the network runs; what both sides agree on does not go through it."""
        lifted, leaving = self._node(node, sides), list[Merged]()
        for output, yes, no in zip(node.outputs(), *(side.returns for side in sides), strict=True):
            if yes == no:
                self._rename(output, yes)
            else:
                leaving += merge(self.network, self._name(output), output.type(), (yes, no))
        for value in leaving:
            self.folder.join(value.name, value.sides)
        lifted.outputs = [value.name for value in leaving]
        for index, side in enumerate(sides):
            side.returns = [value.sides[index] for value in leaving]
        return lifted

    def loop(self, node: Any, depth: int) -> list[Node]:
        return [self._node(node, [self._block(block, depth + 1) for block in node.blocks()])]

    def same_value(self, node: Any, _: int) -> list[Node]:
        self.network.vanished.add(node.kind())
        self._rename(node.output(), self._name(next(node.inputs())))
        return []

    def speech(self, node: Any, _: int) -> list[Node]:
        self.network.vanished.add(node.kind())
        return []

    def dropout(self, node: Any, _: int) -> list[Node]:
        """Dropout outside training is the identity, and returns the very tensor it was given."""
        source, _probability, training = (self._name(value) for value in node.inputs())
        if self.network.known.get(training) is not False:
            return [self._node(node)]
        self.network.vanished.add(node.kind())
        self._rename(node.output(), source)
        return []

    def uninitialized(self, node: Any, _: int) -> list[Node]:
        self._know(node.output(), None)
        return []

    def call_method(self, node: Any, depth: int) -> list[Node]:
        """Inline what TorchScript left as a call: methods of modules known only by interface."""
        owner_value, *values = node.inputs()
        owner = self.modules.get(self._name(owner_value))
        if owner is None or depth > MAX_NESTING:
            return [self._node(node)]
        graph = owner[1]._get_method(node.s("name")).graph.copy()
        torch._C._jit_pass_inline(graph)
        arguments = [self._name(value) for value in values]
        caller, self.calls = self.prefix, self.calls + 1
        self.prefix = f"call{self.calls}."
        own, *parameters = graph.inputs()
        self.modules[self.prefix + own.debugName()] = owner
        for parameter, argument in zip(parameters, arguments, strict=True):
            self._rename(parameter, argument)
        nodes = self._nodes(graph, depth + 1)
        result = self._name(next(graph.outputs()))
        self.prefix = caller
        self._rename(node.output(), result)
        return nodes

    def construct(self, node: Any, _: int) -> list[Node]:
        names = [self._name(value) for value in node.inputs()]
        name = self._name(node.output())
        is_list = node.kind() == "prim::ListConstruct"
        if is_list:
            self.folder.lists.make(name, names)
        frozen = not is_list or self.mutability.is_fixed(node.output())
        if frozen and all(item in self.network.known for item in names):
            items = [self.network.known[item] for item in names]
            self.network.known[name] = items if is_list else tuple(items)
        if frozen:
            self.network.tuples[name] = names
        return [] if name in self.network.known else [self._node(node)]

    def construct_dictionary(self, node: Any, _: int) -> list[Node]:
        names = [self._name(value) for value in node.inputs()]
        keys = [self.network.known.get(name) for name in names[::2]]
        if all(isinstance(key, str) for key in keys):
            items = {str(key): value for key, value in zip(keys, names[1::2], strict=True)}
            self.dictionaries.make(self._name(node.output()), items)
            if self.mutability.is_fixed(node.output()):
                self.network.dictionaries[self._name(node.output())] = items
        return [self._node(node)]

    def look_up(self, node: Any, _: int) -> list[Node]:
        """An item of a container; that of a dictionary which nobody else can have changed is what was put in."""
        source, index = (self._name(value) for value in node.inputs())
        name = (self.dictionaries.items(source) or {}).get(self.network.known.get(index, ""))
        if name is not None:
            self._rename(node.output(), name)
            return []
        return [] if self._fold(node) else [self._node(node)]

    def unpack(self, node: Any, _: int) -> list[Node]:
        names = self.network.tuples.get(self._name(next(node.inputs())))
        outputs = list(node.outputs())
        if names is None or len(names) != len(outputs):
            return [self._node(node)]
        for output, name in zip(outputs, names, strict=True):
            self._rename(output, name)
        return []

    def index_tuple(self, node: Any, _: int) -> list[Node]:
        source, index = (self._name(value) for value in node.inputs())
        names = self.network.tuples.get(source)
        if names is None or index not in self.network.known:
            return [self._node(node)]
        self._rename(node.output(), names[self.network.known[index]])
        return []

    def slice_tuple(self, node: Any, _: int) -> list[Node]:
        lifted = self._node(node)
        lifted.attributes = {"beg": node.i("beg"), "end": node.i("end")}
        return [lifted]

    def is_instance(self, node: Any, _: int) -> list[Node]:
        lifted, types = self._node(node), list(node.tys("types"))
        if lifted.inputs[0] in self.network.known:
            value = self.network.known[lifted.inputs[0]]
            self._know(node.output(), any(is_of_type(value, type_) for type_ in types))
            return []
        lifted.attributes = {"types": types}
        return [lifted]


def _is_tensor_sequence(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(item, Tensor) for item in value)


_HANDLERS: Final[Mapping[str, Callable[[_Lifter, Any, int], list[Node]]]] = {
    "prim::Constant": _Lifter.constant,
    "prim::GetAttr": _Lifter.get_attribute,
    "prim::SetAttr": _Lifter.set_attribute,
    "prim::If": _Lifter.branch,
    "prim::Loop": _Lifter.loop,
    "prim::CallMethod": _Lifter.call_method,
    "prim::ListConstruct": _Lifter.construct,
    "prim::TupleConstruct": _Lifter.construct,
    "prim::DictConstruct": _Lifter.construct_dictionary,
    "aten::__getitem__": _Lifter.look_up,
    "prim::TupleUnpack": _Lifter.unpack,
    "prim::ListUnpack": _Lifter.unpack,
    "prim::TupleIndex": _Lifter.index_tuple,
    "prim::TupleSlice": _Lifter.slice_tuple,
    "prim::isinstance": _Lifter.is_instance,
    "prim::Uninitialized": _Lifter.uninitialized,
    **dict.fromkeys(SPEECH, _Lifter.speech),
    **dict.fromkeys(_RENAMES, _Lifter.same_value),
    **dict.fromkeys(_DROPOUTS, _Lifter.dropout),
}
