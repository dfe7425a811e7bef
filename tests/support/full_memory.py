"""A machine whose memory is full, without filling any."""

from typing import Any, final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

REFUSED_BY_GPU = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.77 GiB"
REFUSED_BY_CPU = "[enforce fail] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"


@final
class FullMemory(TorchDispatchMode):
    """Refuses every result of more than so many bytes, as torch's allocator for GPUs does; counts how often."""

    def __init__(self, most_bytes: int, refusal: Exception | None = None) -> None:
        super().__init__()
        self.refusals = 0
        self._most = most_bytes
        self._refusal = refusal or torch.OutOfMemoryError(REFUSED_BY_GPU)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            # A view takes no memory of its own.
            if isinstance(leaf, Tensor) and leaf._base is None and leaf.numel() * leaf.itemsize > self._most:
                self.refusals += 1
                raise self._refusal
        return result
