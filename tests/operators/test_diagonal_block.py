import pytest
import torch

from eigengate.operators import (
    DenseOperator,
    DiagonalBlock,
    HessianOperator,
    Layer,
    ParameterSpace,
    layers_of,
)
from tests.support import dense
from tests.support.subjects import normal, small_subject

# Sums of some hundred float64 terms of size one.
EXACT = {"rtol": 1e-10, "atol": 1e-12}
CPU = torch.device("cpu")


def space_of(**sizes: int) -> ParameterSpace:
    return ParameterSpace({name.replace("_", "."): torch.Size([size]) for name, size in sizes.items()})


@pytest.mark.parametrize("kind", ["mlp", "cnn", "attention"])
def test_blocks_are_those_of_the_dense_hessian(kind):
    subject = small_subject(kind)
    H, operator = dense.loss_hessian(subject), HessianOperator.of(subject)
    space = ParameterSpace.of(subject.params)
    seen = torch.zeros(space.dimension, dtype=torch.int64)
    for layer in layers_of(space):
        positions = layer.positions(space, CPU)
        block = DiagonalBlock(operator, positions)
        assert block.shape == (layer.size, layer.size)
        assert block.is_self_adjoint
        torch.testing.assert_close(block.materialize(), H[positions][:, positions], **EXACT)
        seen[positions] += 1
    assert bool((seen == 1).all())


def test_a_block_of_rows_in_any_order_multiplies_as_its_matrix(monkeypatch):
    A, positions = normal(7, 7), torch.tensor([5, 0, 3])
    block, X = DiagonalBlock(DenseOperator(A), positions), normal(3, 4, seed=1)
    inside = A[positions][:, positions]
    monkeypatch.setattr("eigengate.operators.diagonal_block._HELD", 7)  # one column at a time
    torch.testing.assert_close(block @ X, inside @ X, **EXACT)
    torch.testing.assert_close(block.adjoint() @ X, inside.mT @ X, **EXACT)


def test_a_block_promises_what_the_whole_promises():
    gram = DenseOperator(torch.eye(4, dtype=torch.float64), psd=True)
    block = DiagonalBlock(gram, torch.tensor([1, 2]))
    assert block.is_psd
    assert not DiagonalBlock(DenseOperator(normal(4, 4)), torch.tensor([1, 2])).is_self_adjoint
    with pytest.raises(ValueError, match="cannot multiply"):
        block @ normal(4)


def test_a_layer_is_what_shares_the_name_in_front_of_the_last_dot():
    space = space_of(a_weight=6, a_b_weight=2, a_bias=3, w1=4, w2=5)
    assert layers_of(space) == (
        Layer("a", {"a.weight": 6, "a.bias": 3}),
        Layer("a.b", {"a.b.weight": 2}),
        Layer("w1", {"w1": 4}),
        Layer("w2", {"w2": 5}),
    )
    assert layers_of(space)[0].positions(space, CPU).tolist() == [0, 1, 2, 3, 4, 5, 8, 9, 10]


def test_tensors_without_entries_make_no_layer():
    assert [layer.name for layer in layers_of(space_of(a_weight=2, b_weight=0))] == ["a"]
