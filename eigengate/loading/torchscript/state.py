"""What a network changes in itself while it runs: buffers, attributes, running statistics."""

from collections.abc import Iterator
from typing import Final

from eigengate.loading.torchscript.aliasing import analyse
from eigengate.loading.torchscript.ir import Network

_TRAINING: Final = {"aten::batch_norm": 5, "aten::instance_norm": 5}
"""By operator, the place of the flag with which the running statistics, inputs 3 and 4, are updated."""


def changed_state(network: Network) -> tuple[str, ...]:
    """Sorted names of the module's tensors and attributes that forward writes to."""
    written = {*analyse(network).written, *_running_statistics(network)}
    own = {**{value: name for value, (name, _) in network.buffers.items()}, **network.parameters}
    own |= {slot: slot.removeprefix("self.") for slot in network.state if slot.startswith("self.")}
    return tuple(sorted(own[value] for value in written & own.keys()))


def _running_statistics(network: Network) -> Iterator[str]:
    for node in network.walk():
        place = _TRAINING.get(node.operator)
        if place is not None and network.known.get(node.inputs[place]) is True:
            yield from node.inputs[3:5]
