"""Running products, sequences of their own lengths, and caches: against loops."""

import pytest
import torch
from torch import Tensor

from tests.support.operator_derivatives import check_every_derivative
from tests.support.single_nodes import assert_agrees_with_onnxruntime, node_program, run_node


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def products_one_by_one(x: Tensor, exclusive: int, reverse: int) -> Tensor:
    """Along the first axis."""
    rows, product, found = x.flip(0) if reverse else x, torch.ones_like(x[0]), []
    for row in rows:
        found.append(product if exclusive else product * row)
        product = product * row
    stacked = torch.stack(found)
    return stacked.flip(0) if reverse else stacked


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_running_products_are_those_of_a_loop(axis: int, exclusive: int, reverse: int) -> None:
    x = normal(5, 6).double()
    attributes = {"opset": 26, "exclusive": exclusive, "reverse": reverse}
    y = run_node("CumProd", x, torch.tensor(axis), **attributes)
    expected = products_one_by_one(x.movedim(axis, 0), exclusive, reverse).movedim(0, axis)
    torch.testing.assert_close(y, expected, rtol=1e-14, atol=0)  # the same factors in another order
    check_every_derivative(node_program("CumProd", x, torch.tensor(axis), **attributes), [x, torch.tensor(axis)])


def test_a_zero_among_the_factors_leaves_the_slopes_of_the_others_right() -> None:
    x = torch.tensor([2.0, 0.0, 3.0, 0.0], dtype=torch.float64)
    program = node_program("CumProd", x, torch.tensor(0), opset=26)
    slope = torch.func.jacrev(lambda value: program({}, value, torch.tensor(0))[0])(x)
    assert slope.tolist() == [[1, 0, 0, 0], [0, 2, 0, 0], [0, 6, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint32, torch.uint64], ids=str)
def test_running_products_of_integers(dtype: torch.dtype) -> None:
    y = run_node("CumProd", torch.tensor([1, 2, 3, 4]).to(dtype), torch.tensor(0), opset=26)
    assert (y.dtype, y.to(torch.int64).tolist()) == (dtype, [1, 2, 6, 24])


@pytest.mark.parametrize("time_axis", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool], ids=str)
def test_every_sequence_is_reversed_as_far_as_it_goes(time_axis: int, dtype: torch.dtype) -> None:
    x = (torch.arange(24).reshape(4, 3, 2) % 5).to(dtype)
    lengths = torch.tensor([4, 0, 2]) if time_axis == 0 else torch.tensor([3, 0, 1, 2])
    axes = {"time_axis": time_axis, "batch_axis": 1 - time_axis}
    assert_agrees_with_onnxruntime("ReverseSequence", x, lengths, opset=10, **axes)
    # onnxruntime does not know the newest version, which only adds bfloat16.
    assert torch.equal(*(run_node("ReverseSequence", x, lengths, opset=opset, **axes) for opset in (10, 28)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.complex64, torch.uint16, torch.uint64], ids=str)
def test_sequences_of_any_type_are_reversed(dtype: torch.dtype) -> None:
    y = run_node("ReverseSequence", torch.tensor([[1], [2], [3]]).to(dtype), torch.tensor([2]), opset=28)
    assert torch.equal(y, torch.tensor([[2], [1], [3]]).to(dtype))


def test_reversed_sequences_have_two_derivatives() -> None:
    x, lengths = normal(4, 3, 2), torch.tensor([4, 1, 3])
    program = node_program("ReverseSequence", x, lengths, opset=28)
    check_every_derivative(program, [x, lengths])


def written_one_by_one(cache: Tensor, update: Tensor, starts: list[int], circular: bool) -> Tensor:
    """Along the second axis."""
    result = cache.clone()
    for sample, start in enumerate(starts):
        for step in range(update.shape[1]):
            place = (start + step) % cache.shape[1] if circular else start + step
            result[sample, place] = update[sample, step]
    return result


@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize(("mode", "starts"), [("linear", [0, 3]), ("circular", [4, 2])])
def test_caches_are_those_of_a_loop(axis: int, mode: str, starts: list[int]) -> None:
    cache, update = normal(2, 5, 3, 4).movedim(1, axis), normal(2, 2, 3, 4, seed=1).movedim(1, axis)
    inputs = [cache.contiguous(), update.contiguous(), torch.tensor(starts)]
    y = run_node("TensorScatter", *inputs, opset=24, axis=axis, mode=mode)
    expected = written_one_by_one(cache.movedim(axis, 1), update.movedim(axis, 1), starts, mode == "circular")
    assert torch.equal(y, expected.movedim(1, axis))
    check_every_derivative(node_program("TensorScatter", *inputs, opset=24, axis=axis, mode=mode), inputs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.uint8, torch.uint32, torch.bool], ids=str)
def test_without_places_a_cache_is_written_from_its_beginning(dtype: torch.dtype) -> None:
    cache, update = torch.zeros(1, 3, 2).to(dtype), torch.ones(1, 2, 2).to(dtype)
    y = run_node("TensorScatter", cache, update, opset=24)
    assert y.dtype == dtype
    assert y.to(torch.int64).tolist() == [[[1, 1], [1, 1], [0, 0]]]
