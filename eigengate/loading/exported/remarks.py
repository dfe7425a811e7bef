"""What a reader of the report must know about how an exported program was read."""

from collections.abc import Iterator, Sequence
from typing import Final

from eigengate.loading.exported.graph import Graph, Node, Ref
from eigengate.loading.exported.inlining import NO_GRAD
from eigengate.loading.torchscript.remarks import BATCH_STATISTICS, DETACHED, PADDING

_DETACHING: Final = frozenset({"aten::detach", "aten::detach_"})
_MOST_SHOWN: Final = 5


def left_out_remark(members: Sequence[str], guards: int) -> str:
    """The remark on what an archive held beside graph and tensors."""
    parts = [*members, "source locations", *([f"{guards} guard(s) written as Python"] if guards else [])]
    return f"Only the graph and its tensors were read from the archive; left out: {', '.join(parts)}."


def remarks_of(graph: Graph, constants: frozenset[str]) -> Iterator[str]:
    """Remarks that the graph alone gives rise to.

    Args:
        graph: The main graph.
        constants: Names of values of the file that are not trained: to detach those changes nothing.
    """
    if any(node.target == NO_GRAD for node in graph.nodes) or _detaches(graph, constants):
        yield DETACHED
    if any(node.operator == "aten::embedding" and _number(node, "padding_idx", -1) >= 0 for node in graph.nodes):
        yield PADDING
    if any(node.operator == "aten::batch_norm" and node.argument("training") is True for node in graph.nodes):
        yield BATCH_STATISTICS


def written_remark(names: Sequence[str]) -> str:
    """The remark on buffers that the network updates without ever reading them."""
    shown = ", ".join(names[:_MOST_SHOWN]) + (
        f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    )
    return f"The network updates {shown} while it runs; no output depends on them, and they stay as the file has them."


def reading_remark(labels: Sequence[str]) -> str:
    """The remark on nodes that look at tensor data."""
    return (
        f"{len(labels)} node(s) read tensor data into numbers or choose a branch by it, e.g. {labels[0]}: the path "
        "through the network depends on the input, and samples cannot be evaluated together."
    )


def _detaches(graph: Graph, constants: frozenset[str]) -> bool:
    fixed = set(constants)
    for node in graph.nodes:
        source = node.positional[0] if node.arguments else None
        is_fixed = isinstance(source, Ref) and source.name in fixed
        if node.operator in _DETACHING and not is_fixed:
            return True
        if node.operator in ("aten::lift_fresh_copy", *_DETACHING) and is_fixed:
            fixed.update(node.made())
    return False


def _number(node: Node, name: str, default: int) -> int:
    value = node.argument(name, default)
    return value if isinstance(value, int) else default
