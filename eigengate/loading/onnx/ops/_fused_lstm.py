"""torch's own LSTM kernel under ONNX's layout. Its GRU and Elman network have no kernel on the CPU: ours are faster."""

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Tensors


def fused_lstm(x: Tensor, W: Tensor, R: Tensor, B: Tensor, h: Tensor, c: Tensor) -> Tensors:
    """Y [length, directions, batch, hidden] and the last h and c, of x [length, batch, inputs]; one or two directions.

    Differentiable once, by reverse mode.
    """
    directions = len(W)
    inputs, recurrent = (_in_torch_order(rows, 1) for rows in (W, R))
    halves = _in_torch_order(B.reshape(directions, 2, -1), 2)
    weights = [
        part
        for way in zip(inputs.unbind(), recurrent.unbind(), halves.unbind(), strict=True)
        for part in (*way[:2], *way[2].unbind())
    ]
    # Without dropout, training is the same function; and only so does cuDNN keep what its backward pass needs.
    training = torch.is_grad_enabled()
    y, last_h, last_c = torch.lstm(x, (h, c), weights, True, 1, 0.0, training, directions == 2, False)
    return y.reshape(*y.shape[:2], directions, -1).transpose(1, 2), last_h, last_c


def _in_torch_order(rows: Tensor, axis: int) -> Tensor:
    """Gates along an axis in the order i, f, g, o, from ONNX's i, o, f, g."""
    i, o, f, g = rows.chunk(4, axis)
    return torch.cat([i, f, g, o], axis)
