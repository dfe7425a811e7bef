"""What labels mean: kinds of output, kinds of loss, and the answers to impossible labels."""

import pytest
import torch

from eigengate.contract import AuditConfig
from eigengate.errors import ConfigError, ProbeValueError, ShapeMismatchError
from eigengate.targets import output_kind, targets

F = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]])
AUTO = AuditConfig()


def test_scores_are_logits_rows_that_sum_to_one_are_probabilities_one_column_is_regression():
    assert output_kind(F, None) == "logits"
    assert output_kind(F.softmax(1), None) == "probabilities"
    assert output_kind(F[:, :1], None) == "regression"
    assert output_kind(F, torch.randn(2, 3)) == "regression"
    assert output_kind(F, torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])) == "logits"


def test_predictions_stand_in_for_absent_labels_and_are_said_to():
    goal = targets(F, None, "logits", AUTO)
    assert goal.y.tolist() == [0, 1]
    assert not goal.given
    assert targets(F, None, "regression", AUTO).loss.name == "squared_error"


@pytest.mark.parametrize(
    "y",
    [
        pytest.param(torch.tensor([2, 0]), id="indices"),
        pytest.param(torch.tensor([[2], [0]]), id="a column"),
        pytest.param(torch.tensor([2.0, 0.0]), id="whole floats"),
        pytest.param(torch.tensor([2, 0], dtype=torch.uint8), id="bytes"),
        pytest.param(torch.tensor([[0, 0, 1], [1, 0, 0]]), id="one-hot"),
    ],
)
def test_class_labels_are_understood_in_every_usual_form(y):
    goal = targets(F, y, "logits", AUTO)
    assert goal.y.tolist() == [2, 0]
    assert goal.y.dtype == torch.int64
    assert goal.given


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        pytest.param(
            torch.tensor([0, 3]), ProbeValueError, "label 3 in sample 1 is out of range.*3 classes", id="high"
        ),
        pytest.param(torch.tensor([-1, 0]), ProbeValueError, "label -1 in sample 0", id="negative"),
        pytest.param(torch.tensor([0.5, 1]), ProbeValueError, "no class indices", id="fractions"),
        pytest.param(torch.full((2, 3), 1 / 3), ProbeValueError, "not one-hot", id="soft labels"),
        pytest.param(torch.zeros(2, 2), ShapeMismatchError, r"wanted \[2\]", id="wrong shape"),
    ],
)
def test_impossible_labels_are_refused_with_the_value(y, error, message):
    with pytest.raises(error, match=message):
        targets(F, y, "logits", AUTO)


def test_cross_entropy_of_a_regression_is_refused():
    with pytest.raises(ConfigError, match="cross_entropy needs class scores"):
        targets(F, None, "regression", AuditConfig(loss="cross_entropy"))


def test_squared_error_of_class_scores_takes_labels_one_hot():
    goal = targets(F, torch.tensor([2, 0]), "logits", AuditConfig(loss="squared_error"))
    assert goal.y.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_regression_targets_must_have_the_output_s_shape():
    with pytest.raises(ShapeMismatchError, match=r"y has shape \[2, 2\], the output \[2, 3\]"):
        targets(F, torch.zeros(2, 2), "regression", AUTO)
