"""What is measured, from an eager network."""

import io

import torch
from torch import Tensor, nn

import eigengate
from eigengate.operators.loss import CrossEntropy
from eigengate.operators.subject import Subject


def subject_of(model: nn.Module, x: Tensor) -> Subject:
    """The network as its trace is loaded, on its own predictions."""
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(model, x), stream)
    functional = eigengate.load_model(stream.getvalue())
    y = functional.apply(functional.params, x).argmax(dim=1)
    return Subject(functional, (x,), y, labels_given=False, loss=CrossEntropy())
