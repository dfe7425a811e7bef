"""What a reader of the report must know about how a TorchScript network was read."""

from collections.abc import Iterator, Sequence

from eigengate.loading.program import TensorSpec
from eigengate.loading.torchscript.draws import SEED
from eigengate.loading.torchscript.ir import Network
from eigengate.loading.torchscript.silencing import SPEECH

STATEFUL = "stateful_model"
"""How the remark on a network that changes itself begins."""

FROZEN = (
    "The module was frozen: its parameters had become constants. Floating point constants in weight positions are "
    "analysed as parameters, buffers among them, and named after their operators; batch normalisation may be folded "
    "into convolutions and equal tensors merged, so parameter-space quantities are not those of the module "
    "before freezing."
)
DETACHED = "detach() is taken as the identity: derivatives are those of the function the network computes."
SPEECH_LEFT_OUT = "The model prints or warns when it runs: left out, since it says nothing about the function."
PADDING = (
    "The padding rows of embeddings count as parameters: the function depends on them, though training would not "
    "change them."
)
BATCH_STATISTICS = "Batch normalisation runs with the statistics of the batch, so samples influence one another."


def remarks_of(network: Network, *, frozen: bool, changed: tuple[str, ...], undone: tuple[str, ...]) -> Iterator[str]:
    """Remarks on the graph, on what freezing did to it, on what it changes in itself, and on what loading undid."""
    if undone:
        yield f"Made for another machine: {', '.join(undone)}. These were replaced by what they stand for on the CPU."
    if changed:
        yield stateful_remark(changed)
    if frozen:
        yield FROZEN
    if {"aten::detach", "aten::detach_"} & network.vanished:
        yield DETACHED
    if SPEECH & network.vanished:
        yield SPEECH_LEFT_OUT
    if any(
        node.operator == "aten::embedding" and network.known.get(node.inputs[2], -1) >= 0 for node in network.walk()
    ):
        yield PADDING
    if any(
        node.operator == "aten::batch_norm" and network.known.get(node.inputs[5]) is True for node in network.walk()
    ):
        yield BATCH_STATISTICS


def stateful_remark(changed: tuple[str, ...]) -> str:
    """The remark on a network with a memory."""
    listed = ", ".join(changed[:5]) + (" …" if len(changed) > 5 else "")
    return (
        f"{STATEFUL}: running the network changes {listed}. Every evaluation starts from the values in the file, so "
        "that what is measured does not depend on earlier calls."
    )


def reading_remark(labels: tuple[str, ...]) -> str:
    """The remark on nodes that read tensor data into Python numbers."""
    return (
        f"{len(labels)} node(s) read tensor data into numbers, e.g. {labels[0]}: the path through the network depends "
        "on the input, and samples cannot be evaluated together."
    )


def random_remark(operators: Sequence[str]) -> str:
    """The remark on a network that is not a function until its random numbers are fixed."""
    return (
        f"The network draws random numbers ({', '.join(operators)}): every sample gets the same draws, from seed "
        f"{SEED}. What is measured holds for these draws."
    )


def batch_remark(inputs: tuple[TensorSpec, ...], opened: int | None) -> str | None:
    """The remark on a batch size that the trace has fixed, if it has, and on whether it could be opened."""
    if opened is not None:
        return (
            f"The trace fixed the batch size at {opened}. It was opened, and random samples gave together what each "
            "gave in a batch of its own."
        )
    fixed = [spec.shape[0] for spec in inputs if spec.shape and spec.shape[0] is not None]
    return f"The trace fixed the batch size at {fixed[0]}." if fixed else None
