"""Branches and loops: conditions and trip counts are numbers, so they must not depend on a transformed value."""

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Body, Ints, Tensors, operator


@operator("If")
def branch(condition: bool, *, then_branch: Body, else_branch: Body) -> Tensors:
    return then_branch() if condition else else_branch()


@operator("Loop")
def loop(trip_count: int | None = None, condition: bool | None = None, *carried: Tensor, body: Body) -> Tensors:
    state, stacks, iteration = carried, [], 0
    goes_on = condition is None or condition
    while goes_on and (trip_count is None or iteration < trip_count):
        counter, flag = torch.tensor(iteration), torch.tensor(True)
        decision, *results = body(counter, flag, *state)
        state, scanned = tuple(results[: len(carried)]), results[len(carried) :]
        stacks.append(scanned)
        goes_on, iteration = bool(decision), iteration + 1
    return (*state, *(torch.stack(values) for values in zip(*stacks, strict=True)))


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
