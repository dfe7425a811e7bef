"""The pickles of a TorchScript archive, checked before PyTorch reads them: what they name, how deep, how much memory.

PyTorch's own reader trusts them: it follows nesting until the stack overflows, grows its memory to any index it is
told, and takes a tensor for as large as the pickle says, whatever the file holds.
"""

import io
import pickle
import pickletools
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any, Final, final

from eigengate.errors import ModelLoadError
from eigengate.loading.container.member import check_total

MAX_BYTES: Final = 64 << 20
MAX_INSTRUCTIONS: Final = 1_000_000
MAX_DEPTH: Final = 200

_GLOBALS: Final = re.compile(
    r"__torch__[\w.]* \w+|collections OrderedDict|torch\._utils _rebuild_(tensor_v2|qtensor|parameter)"
    r"|torch\.jit\._pickle (restore_type_tag|build_(tensor_from_id|(int|tensor|double|bool)list))"
    r"|torch (device|\w+Storage|per_(tensor|channel)_\w+)"
)
_ATOMS: Final = frozenset(
    {"NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "GLOBAL"}
)
_PLAIN: Final = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"})
_PUTS: Final = frozenset({"BINPUT", "LONG_BINPUT"})
_GETS: Final = frozenset({"BINGET", "LONG_BINGET"})
_EMPTY: Final = frozenset({"EMPTY_LIST", "EMPTY_DICT", "EMPTY_TUPLE"})
_JOINED: Final = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "REDUCE": 2, "NEWOBJ": 2, "BINPERSID": 1}
"""Instructions that make one value of the last few."""
_PUT_IN: Final = {"APPEND": 1, "SETITEM": 2, "BUILD": 1}
"""Instructions that put the last few values into the one before."""
_ITEM_BYTES: Final = {
    **dict.fromkeys(("Byte", "Char", "Bool", "QInt8", "QUInt8", "QUInt4x2", "QUInt2x4"), 1),
    **dict.fromkeys(("Short", "Half", "BFloat16"), 2),
    **dict.fromkeys(("Int", "Float", "QInt32"), 4),
    **dict.fromkeys(("Long", "Double", "ComplexFloat"), 8),
    "ComplexDouble": 16,
}
_NO_CLASSES: Final[Mapping[str, Collection[object]]] = MappingProxyType({})
_SAVE_AGAIN: Final = "Save the model again with torch.jit.save; values are tensors, numbers, texts and containers."


def check_instructions(name: str, data: bytes) -> None:
    """Refuse a pickle with instructions or names that TorchScript never writes, too many of them, or too deep a value.

    Raises:
        ModelLoadError: It is one of these.
    """
    if len(data) > MAX_BYTES:
        raise ModelLoadError(f"{name} has {len(data):,} bytes, more than {MAX_BYTES:,}", hint=_SAVE_AGAIN)
    machine = _Machine(name)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.step(opcode.name, argument)
        machine.finish()
    except ModelLoadError:
        raise
    except Exception as error:
        raise ModelLoadError(
            f"{name} is not a pickle that can be read: {type(error).__name__}: {error}"[:300], hint=_SAVE_AGAIN
        ) from error


def check_tensors(
    name: str, data: bytes, storages: Mapping[str, bytes], enumerations: Mapping[str, Collection[object]] = _NO_CLASSES
) -> None:
    """Refuse tensors that reach beyond the numbers the archive holds for them, and members that no enumeration has.

    PyTorch's reader takes such a member from its stack and puts nothing in its place.

    Args:
        name: The pickle's name in messages.
        data: A pickle that has passed ``check_instructions``.
        storages: Numbers by the keys that the pickle has for them.
        enumerations: Values of the members of the archive's enumerations, by qualified name.

    Raises:
        ModelLoadError: There is such a tensor or member, or the pickle cannot be read.
    """
    try:
        _TensorReader(name, _with_argument_lists(data), storages, enumerations).load()
    except ModelLoadError:
        raise
    except Exception as error:
        raise ModelLoadError(
            f"{name} cannot be read: {type(error).__name__}: {error}"[:300], hint=_SAVE_AGAIN
        ) from error


def _with_argument_lists(data: bytes) -> bytes:
    """The pickle as Python reads it: TorchScript applies an enumeration to the very value of a member, not to (value,).

    Only an instruction that makes one plain value, or looks it up, can stand in front of such an application.
    """
    pieces, done, plain, remembered = list[bytes](), 0, False, dict[Any, bool]()
    for opcode, argument, place in pickletools.genops(data):
        if opcode.name == "REDUCE" and plain:
            pieces += [data[done:place], pickle.TUPLE1]
            done = place or 0
        elif opcode.name in _PUTS:
            remembered[argument] = plain
        else:
            plain = opcode.name in _PLAIN or (opcode.name in _GETS and remembered.get(argument, False))
    return b"".join([*pieces, data[done:]])


@final
class _Machine:
    """A stack machine that runs a pickle on places instead of values: it knows what contains what, and nothing else."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.contents: list[list[int]] = [[]]  # place 0 stands for everything that contains nothing
        self.stack: list[int] = []
        self.marks: list[int] = []
        self.memo: dict[int, int] = {}
        self.count = 0

    def step(self, opcode: str, argument: Any) -> None:
        self.count += 1
        if self.count > MAX_INSTRUCTIONS:
            raise ModelLoadError(f"{self.name} has more than {MAX_INSTRUCTIONS:,} instructions", hint=_SAVE_AGAIN)
        if opcode == "GLOBAL" and not _GLOBALS.fullmatch(str(argument)):
            named = ascii(str(argument).replace(" ", "."))[:200]
            raise ModelLoadError(f"{self.name} names {named}, which no TorchScript module needs", hint=_SAVE_AGAIN)
        if opcode in _ATOMS:
            self.stack.append(0)
        elif opcode in _EMPTY:
            self._make([])
        elif opcode in _JOINED:
            self._make(self._taken(_JOINED[opcode]))
        elif opcode in _PUT_IN:
            self._put_in(self._taken(_PUT_IN[opcode]))
        else:
            self._other(opcode, argument)

    def _other(self, opcode: str, argument: Any) -> None:
        if opcode == "MARK":
            self.marks.append(len(self.stack))
        elif opcode in ("TUPLE", "LIST"):
            self._make(self._marked())
        elif opcode in ("APPENDS", "SETITEMS"):
            self._put_in(self._marked())
        elif opcode in _PUTS:
            if argument > self.count:  # PyTorch makes room for as many
                raise ModelLoadError(f"{self.name} remembers a value under number {argument}", hint=_SAVE_AGAIN)
            self.memo[argument] = self.stack[-1]
        elif opcode in _GETS:
            self.stack.append(self.memo[argument])
        elif opcode not in ("PROTO", "STOP"):
            raise ModelLoadError(
                f"{self.name} uses the pickle instruction {opcode}, which TorchScript never writes", hint=_SAVE_AGAIN
            )

    def finish(self) -> None:
        """One value is left, and no path through it is longer than what a reader's stack can follow."""
        (root,) = self.stack
        if self.marks:
            raise ValueError("a mark is left over")
        if self._depth(root) > MAX_DEPTH:
            raise ModelLoadError(f"{self.name} nests values deeper than {MAX_DEPTH}", hint=_SAVE_AGAIN)

    def _make(self, parts: list[int]) -> None:
        self.stack.append(len(self.contents))
        self.contents.append([part for part in parts if part])

    def _put_in(self, parts: list[int]) -> None:
        self.contents[self.stack[-1]] += [part for part in parts if part]

    def _taken(self, count: int) -> list[int]:
        base = self.marks[-1] if self.marks else 0
        if len(self.stack) - base < count:
            raise ValueError("an instruction has too few values")
        parts = self.stack[-count:]
        del self.stack[-count:]
        return parts

    def _marked(self) -> list[int]:
        base = self.marks.pop()
        parts = self.stack[base:]
        del self.stack[base:]
        return parts

    def _depth(self, root: int) -> int:
        """The longest path from a place; what contains itself is refused."""
        depths: dict[int, int] = {}
        open_places: set[int] = set()
        waiting = [root]
        while waiting:
            place = waiting[-1]
            if place in depths:
                waiting.pop()
            elif place in open_places:
                depths[place] = 1 + max((depths[part] for part in self.contents[place]), default=0)
                open_places.remove(place)
                waiting.pop()
            else:
                open_places.add(place)
                if not open_places.isdisjoint(self.contents[place]):
                    raise ModelLoadError(f"{self.name} has a value that contains itself", hint=_SAVE_AGAIN)
                waiting += [part for part in self.contents[place] if part not in depths]
        return depths[root]


@final
@dataclass(frozen=True)
class _Storage:
    key: str
    count: int
    item_bytes: int


class _Object:
    """Stands for any object of TorchScript's, made of nothing; it takes whatever it is told."""

    def __new__(cls) -> "_Object":
        return object.__new__(cls)

    def __setstate__(self, _: Any) -> None: ...


@final
class _TensorReader(pickle.Unpickler):
    """Reads places of tensors; the only names it knows are our own functions, so nothing else can be called."""

    def __init__(
        self,
        name: str,
        data: bytes,
        storages: Mapping[str, bytes],
        enumerations: Mapping[str, Collection[object]],
    ) -> None:
        super().__init__(io.BytesIO(data))
        self._name = name
        self._storages = storages
        self._enumerations = enumerations
        self._total = 0

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Our own stand-in for a name; a new one each time, since a pickle may write to what it is given."""
        values = self._enumerations.get(f"{module}.{name}")
        if values is not None:
            return lambda value: self._member(f"{module}.{name}", value, values)
        if module.startswith("__torch__"):
            return type("_Stranger", (_Object,), {})
        if name in ("_rebuild_tensor_v2", "_rebuild_qtensor"):
            return lambda *arguments: self._tensor(*arguments)
        if name == "OrderedDict":
            return type("_Ordered", (dict,), {})
        if name.endswith("Storage"):
            return lambda: _ITEM_BYTES[name.removesuffix("Storage")]
        return lambda *arguments: arguments[0] if arguments else None

    def persistent_load(self, pid: Any) -> _Storage:
        """The storage behind a reference ('storage', type, key, device, number of elements)."""
        _, kind, key, _, count = pid
        storage = _Storage(str(key), int(count), kind())
        held = len(self._storages.get(storage.key, b""))
        if storage.count < 0 or storage.count * storage.item_bytes > held:
            raise ModelLoadError(
                f"{self._name} says that storage {ascii(key)[:40]} holds {storage.count:,} numbers of "
                f"{storage.item_bytes} bytes; the archive has {held:,} bytes for it",
                hint="Copy the model again, whole, or save it again with torch.jit.save.",
            )
        return storage

    def _member(self, enumeration: str, value: object, values: Collection[object]) -> None:
        if not any(type(each) is type(value) and each == value for each in values):
            raise ModelLoadError(
                f"{self._name} has the value {ascii(value)[:40]}, which is none of {ascii(enumeration)[:80]}",
                hint=_SAVE_AGAIN,
            )

    def _tensor(self, storage: _Storage, offset: int, sizes: Any, strides: Any, *_: Any) -> None:
        places = (*sizes, *strides, offset)
        if len(sizes) != len(strides) or not all(type(place) is int and place >= 0 for place in places):
            raise ModelLoadError(f"{self._name} has a tensor whose sizes are no sizes", hint=_SAVE_AGAIN)
        spread = sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if offset + (0 if 0 in sizes else spread + 1) > storage.count:
            raise ModelLoadError(
                f"{self._name} has a tensor of shape {list(sizes)} that reaches beyond the {storage.count:,} numbers "
                f"of storage {ascii(storage.key)[:40]}",
                hint=_SAVE_AGAIN,
            )
        # A view may be far larger than the storage that it looks at, and is written out in full.
        self._total += prod(sizes) * storage.item_bytes
        check_total(self._total)
