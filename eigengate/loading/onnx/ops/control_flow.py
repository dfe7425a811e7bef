"""Branches and loops: conditions and trip counts are numbers, so they must not depend on a transformed value."""

from typing import Any

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Body, Ints, Tensors, operator


@operator("If")
def branch(condition: bool, *, then_branch: Body, else_branch: Body) -> Tensors:
    """The outputs of ``then_branch`` if the condition holds, of ``else_branch`` otherwise; only the one taken runs."""
    return then_branch() if condition else else_branch()


@operator("Loop")
def loop(
    trip_count: int | None = None, condition: bool | None = None, *carried: Any, body: Body, outputs: int
) -> tuple[Any, ...]:
    """Run ``body(iteration, condition, *carried)`` up to ``trip_count`` times while its first result is true.

    The following results are the next ``carried`` values, the rest is stacked over the iterations. Without trip count
    and condition the loop would not end.
    """
    state, stacks, iteration = carried, [], 0
    goes_on = condition is None or condition
    while goes_on and (trip_count is None or iteration < trip_count):
        counter, flag = torch.tensor(iteration), torch.tensor(True)
        decision, *results = body(counter, flag, *state)
        state = tuple(results[: len(carried)])
        stacks.append(results[len(carried) :])
        goes_on, iteration = bool(decision), iteration + 1
    if not stacks:  # nothing was stacked, so that only the number of rows is known
        return (*state, *(torch.empty(0) for _ in range(outputs - len(carried))))
    return (*state, *(torch.stack(values) for values in zip(*stacks, strict=True)))


@operator("Scan", since=8)
def scan_of_batch(
    lengths: Ints | None = None, *values: Tensor, body: Body, directions: Ints | None = None, num_scan_inputs: int
) -> Tensors:
    """Version 8: every operand has the batch first and the scanned axis second.

    Sample by sample ``body`` runs over the first ``lengths`` elements of the scan inputs (backwards where
    ``directions`` says 1); what it stacks is filled up with zeros.
    """
    samples = []
    for index in range(values[0].shape[0]):
        sample = [value[index] for value in values]
        carried, sequences = sample[:-num_scan_inputs], sample[-num_scan_inputs:]
        length = sequences[0].shape[0] if not lengths else lengths[index]
        scanned = scan(
            *carried,
            *(sequence[:length] for sequence in sequences),
            body=body,
            num_scan_inputs=num_scan_inputs,
            scan_input_directions=directions,
        )
        missing = sequences[0].shape[0] - length
        states, stacks = scanned[: len(carried)], scanned[len(carried) :]
        samples.append((*states, *(torch.cat([s, s.new_zeros(missing, *s.shape[1:])]) for s in stacks)))
    return tuple(torch.stack(column) for column in zip(*samples, strict=True))


@operator("Scan", since=9)
def scan(
    *values: Tensor,
    body: Body,
    num_scan_inputs: int,
    scan_input_axes: Ints | None = None,
    scan_input_directions: Ints | None = None,
    scan_output_axes: Ints | None = None,
    scan_output_directions: Ints | None = None,
) -> Tensors:
    """Run ``body(*state, *elements)`` over the elements of the last ``num_scan_inputs`` operands along their axes.

    Its first results are the next state, the others are stacked along the output axes. A direction of 1 takes or
    puts the elements last to first.
    """
    state, sequences = values[:-num_scan_inputs], values[-num_scan_inputs:]
    axes = scan_input_axes or (0,) * num_scan_inputs
    backwards = scan_input_directions or (0,) * num_scan_inputs
    ordered = [
        x.movedim(axis, 0).flip(0) if back else x.movedim(axis, 0)
        for x, axis, back in zip(sequences, axes, backwards, strict=True)
    ]
    stacks: list[Tensors] = []
    carried_count = len(state)
    for elements in zip(*ordered, strict=True):
        results = body(*state, *elements)
        state = results[:carried_count]
        stacks.append(results[carried_count:])
    outputs = [torch.stack(column) for column in zip(*stacks, strict=True)]
    out_axes, out_backwards = scan_output_axes or (0,) * len(outputs), scan_output_directions or (0,) * len(outputs)
    return (
        *state,
        *(
            (x.flip(0) if back else x).movedim(0, axis)
            for x, axis, back in zip(outputs, out_axes, out_backwards, strict=True)
        ),
    )
