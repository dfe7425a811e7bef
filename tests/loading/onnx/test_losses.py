"""Losses of classification, against torch's."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.support.operator_derivatives import check_every_derivative
from tests.support.single_nodes import assert_agrees_with_onnxruntime, node_program, run_node

CLASSES = 4
LOSSES = {"NegativeLogLikelihoodLoss": F.nll_loss, "SoftmaxCrossEntropyLoss": F.cross_entropy}
NOTHING_IGNORED = -100  # torch's default, which is no class of ours

every_loss = pytest.mark.parametrize("name", LOSSES)
every_reduction = pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
every_shape = pytest.mark.parametrize("places", [(), (3,), (2, 3), (2, 1, 2)], ids=str)


def scores(*places: int) -> Tensor:
    return torch.randn(5, CLASSES, *places, generator=torch.Generator().manual_seed(0))


def labels(*places: int, ignored: int | None = None) -> Tensor:
    """Classes of which the first and last sample are to be ignored."""
    made = torch.randint(0, CLASSES, (5, *places), generator=torch.Generator().manual_seed(1))
    if ignored is not None:
        made[0], made[-1] = ignored, ignored
    return made


def class_weights() -> Tensor:
    return torch.rand(CLASSES, generator=torch.Generator().manual_seed(2)) + 0.5


@every_loss
@every_reduction
@every_shape
@pytest.mark.parametrize("opset", [12, 13, 22])
@pytest.mark.parametrize("ignored", [None, 1, -1, -100, 255])
def test_losses_are_those_of_torch(
    name: str, reduction: str, places: tuple[int, ...], opset: int, ignored: int | None
) -> None:
    x, target = scores(*places), labels(*places, ignored=ignored)
    attributes: dict[str, Any] = {} if ignored is None else {"ignore_index": ignored}
    for weight in (None, class_weights()):
        if name == "NegativeLogLikelihoodLoss":
            x = x.log_softmax(1)
        ours = run_node(name, x, target, weight, opset=opset, reduction=reduction, **attributes)
        index = NOTHING_IGNORED if ignored is None else ignored
        theirs = LOSSES[name](x, target, weight, ignore_index=index, reduction=reduction)
        assert ours.shape == theirs.shape
        # Sums of at most twenty terms in float32.
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
        narrow = run_node(name, x, target.int(), weight, opset=opset, reduction=reduction, **attributes)
        assert torch.equal(narrow, ours)


@every_loss
@every_reduction
@pytest.mark.parametrize("opset", [12, 13])
def test_losses_are_those_of_onnxruntime(name: str, reduction: str, opset: int) -> None:
    for target, attributes in ((labels(3), {}), (labels(3, ignored=-1), {"ignore_index": -1})):
        for weight in (None, class_weights()):
            inputs = (scores(3), target, weight)
            assert_agrees_with_onnxruntime(name, *inputs, opset=opset, reduction=reduction, **attributes)


@pytest.mark.parametrize("opset", [12, 13])
@every_shape
def test_the_second_output_is_the_logarithm_of_the_softmax_ignored_or_not(opset: int, places: tuple[int, ...]) -> None:
    x, target = scores(*places), labels(*places, ignored=-1)
    found = run_node("SoftmaxCrossEntropyLoss", x, target, opset=opset, outputs=2, ignore_index=-1)[1]
    # The same kernel.
    torch.testing.assert_close(found, x.log_softmax(1), rtol=0, atol=0)


@every_loss
@every_reduction
@pytest.mark.parametrize("ignored", [None, -1])
def test_losses_have_two_derivatives_by_scores_and_weights(name: str, reduction: str, ignored: int | None) -> None:
    attributes: dict[str, Any] = {} if ignored is None else {"ignore_index": ignored}
    inputs = [scores(2), labels(2, ignored=ignored), class_weights()]
    for given in (inputs[:2], inputs):
        outputs = 2 if name == "SoftmaxCrossEntropyLoss" else 1
        program = node_program(name, *given, opset=13, outputs=outputs, reduction=reduction, **attributes)
        check_every_derivative(program, given)


@every_loss
def test_a_sample_to_be_ignored_has_no_gradient_whatever_its_label(name: str) -> None:
    x, target = scores(), labels(ignored=255)
    program = node_program(name, x, target, opset=13, reduction="sum", ignore_index=255)
    slope = torch.func.grad(lambda value: program({}, value, target)[0])(x)
    assert not slope[[0, -1]].any()
    assert slope[1:-1].any(1).all()
