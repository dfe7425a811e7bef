"""Evaluation mode, in which every network is measured, whatever mode it was saved in."""

from typing import Any, Final

import torch

from eigengate.loading.torchscript.torch_graph import walk

TRAINING: Final = (
    "The module was saved in training mode, and its forward asks for the mode; it is measured in evaluation mode."
)


def enter_evaluation(module: torch.jit.ScriptModule) -> tuple[str, ...]:
    """Put a module into evaluation mode; gives a remark if it was saved in another and its forward asks for that."""
    parts: list[Any] = list(module.modules())
    was_training = any(part._c.hasattr("training") and part.training for part in parts)
    asks = any(node.kind() == "prim::GetAttr" and node.s("name") == "training" for node in walk(module.inlined_graph))
    module.eval()
    return (TRAINING,) if was_training and asks else ()
