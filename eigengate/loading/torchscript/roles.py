"""Which constants of a frozen module are trainable: freezing makes constants of parameters, and drops their names."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from torch import Tensor

from eigengate.loading.masks import is_mask
from eigengate.loading.torchscript.ir import Network, Node
from eigengate.loading.torchscript.origins import constant_origins

_LAYER_ARGUMENTS: Final = ("weight", "bias", "params", "w_ih", "w_hh", "b_ih", "b_hh")
"""An argument whose name contains one of these belongs to a layer: ``weight``, ``qkv_bias``, ``norm_weight_1`` …"""

# Operators whose tensor operands are weights, biases or scales whenever they are constant. A constant that is
# subtracted or divided by is data preparation (mean, standard deviation), so these two are missing.
_OPERAND_OPERATORS: Final = frozenset(
    f"aten::{name}"
    for name in (
        "matmul",
        "mm",
        "bmm",
        "addmm",
        "baddbmm",
        "einsum",
        "add",
        "add_",
        "mul",
        "mul_",
        "expand",
        "cat",
        "prelu",
    )
)


def trainable_constants(network: Network) -> dict[str, tuple[str, Tensor]]:
    """Constants that reach a weight position by value name, each with the parameter name it is given.

    Names read ``conv2d_0.weight``: operator, its how-manieth such operator, argument.
    """
    found: dict[str, tuple[str, Tensor]] = {}
    counts: Counter[str] = Counter()
    origins = constant_origins(network)
    for node in network.walk():
        roles = dict(_roles(node, network, origins))
        if not roles:
            continue
        layer = node.operator.partition("::")[2].strip("_")
        place = f"{layer}_{counts[layer]}"
        counts[layer] += 1
        for name, role in roles.items():
            if name not in found:
                found[name] = (f"{place}.{role}", network.buffers[name][1])
    return found


def _roles(node: Node, network: Network, origins: Mapping[str, frozenset[str]]) -> Iterator[tuple[str, str]]:
    if node.schema is None:
        return
    for name, argument in zip(node.inputs, node.schema.arguments, strict=False):
        is_layers = any(part in argument.name for part in _LAYER_ARGUMENTS)
        if not is_layers and node.operator not in _OPERAND_OPERATORS:
            continue
        elements = network.tuples.get(name, [name])
        reached = [
            origin
            for element in elements
            for origin in sorted(origins.get(element, ()))
            if _is_candidate(network.buffers[origin][1]) and (is_layers or not is_mask(network.buffers[origin][1]))
        ]
        several = name in network.tuples or len(reached) > 1
        yield from ((origin, f"{argument.name}_{k}" if several else argument.name) for k, origin in enumerate(reached))


def _is_candidate(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dim() > 0
