"""Who may look at whom, as ONNX Runtime's attention operators say it: numbers to add to the scores."""

import torch
from torch import Tensor


def padding_bias(mask: Tensor, queries: int, keys: int, filling: float, scores: Tensor) -> Tensor:
    """A mask as what is added to scores [batch, heads, queries, keys]: zero where it lets look, else ``filling``.

    Its forms, all of integers: [batch, keys] and [batch, queries, keys] with ones for what may be seen;
    [batch, 1, longest, longest], of which the last queries and first keys count; [batch] with the number of keys that
    are no padding; [2 * batch] with those and then the position of the first key that is none;
    [3 * batch + 2] with those and then offsets into packed sequences, which do not matter here.
    """
    match mask.ndim:
        case 1:
            seen = _seen_by_lengths(mask, scores.shape[0], keys).unsqueeze(1).unsqueeze(1)
        case 2:
            seen = (mask > 0).unsqueeze(1).unsqueeze(1)
        case 3:
            seen = (mask > 0).unsqueeze(1)
        case _:
            seen = mask[:, :, keys - queries : keys, :keys] > 0
    return torch.where(seen, torch.zeros((), dtype=scores.dtype, device=scores.device), filling)


def _seen_by_lengths(lengths: Tensor, batch: int, keys: int) -> Tensor:
    columns = torch.arange(keys, device=lengths.device)
    seen = columns < lengths[:batch].unsqueeze(1)
    if lengths.shape[0] == 2 * batch:
        seen = seen & (columns >= lengths[batch:].unsqueeze(1))
    return seen


def causal(queries: int, keys: int, device: torch.device) -> Tensor:
    """True where a query may look at a key, the last query standing beside the last key, [queries, keys]."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def lowest(scores: Tensor) -> float:
    """What ONNX Runtime sets scores to that causality rules out: finite, but softmax makes zero of it."""
    return torch.finfo(scores.dtype).min
