"""Batch normalisations by running statistics in a graph."""

import operator
from typing import Any, Final, cast

import torch
from torch import fx

from eigengate.operators.evaluated_norm import evaluated_norm

_aten = torch.ops.aten
# Where in the arguments eps stands, and where it says whether the statistics are the batch's.
# Which of these a trace holds depends on the device: cuDNN's and MIOpen's stand there on GPUs.
_EPS: Final = {
    _aten.native_batch_norm.default: 7,
    _aten.cudnn_batch_norm.default: 7,
    _aten.miopen_batch_norm.default: 7,
    _aten._native_batch_norm_legit_no_training.default: 6,
}
_TRAINING: Final = {
    _aten.native_batch_norm.default: 5,
    _aten.cudnn_batch_norm.default: 5,
    _aten.miopen_batch_norm.default: 5,
}


def spell_out_evaluated_norms(graph: fx.Graph) -> dict[fx.Node, fx.Node]:
    """Put x ∘ s + t in the place of every such normalisation; returns what has replaced which node.

    Its backward pass is then one multiplication. The operator's own, under ``vmap``, takes two and reads x.
    """
    replaced: dict[fx.Node, fx.Node] = {}
    for node in list(graph.nodes):
        if _is_evaluated(node):
            normalized = list(node.users)
            with graph.inserting_before(node):
                affine = graph.call_function(evaluated_norm, (*node.args[:5], node.args[_EPS[cast(Any, node.target)]]))
            for result in normalized:
                result.replace_all_uses_with(affine)
                graph.erase_node(result)
                replaced[result] = affine
            graph.erase_node(node)
    return replaced


def _is_evaluated(node: fx.Node) -> bool:
    if node.target not in _EPS or (node.target in _TRAINING and node.args[_TRAINING[cast(Any, node.target)]]):
        return False
    return all(user.target is operator.getitem and user.args[1] == 0 for user in node.users)
