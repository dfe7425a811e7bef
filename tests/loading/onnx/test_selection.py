"""Picking and placing by index, order and condition, against onnxruntime, with derivatives."""

import pytest
import torch
from onnx import TensorProto
from torch import Tensor

from tests.support.operator_derivatives import check_every_derivative, check_finite_differences
from tests.support.single_nodes import assert_agrees_with_onnxruntime, element_type, node_program, run_node

TYPES = (torch.float32, torch.float64, torch.float16, torch.int8, torch.int32, torch.int64, torch.bool)
BARE = (torch.uint16, torch.uint32, torch.uint64)

every_type = pytest.mark.parametrize("dtype", TYPES, ids=str)
every_reduction = pytest.mark.parametrize("reduction", ["add", "mul", "max", "min"])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def data(dtype: torch.dtype, *shape: int, seed: int = 0) -> Tensor:
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator(seed)).to(dtype)
    values = torch.randint(0, 100, shape, generator=generator(seed))
    return values > 50 if dtype is torch.bool else values.to(dtype)


def indices(size: int, *shape: int, seed: int = 0) -> Tensor:
    """Any of an axis, from either end, some of them twice."""
    return torch.randint(-size, size, shape, generator=generator(seed))


def distinct(size: int, *shape: int) -> Tensor:
    """Along the second of three axes no index twice."""
    before, count, after = shape
    orders = [torch.randperm(size, generator=generator(seed))[:count] for seed in range(before * after)]
    return torch.stack(orders).reshape(before, after, count).transpose(1, 2).contiguous()


@every_type
def test_slices_are_gathered(dtype: torch.dtype) -> None:
    x = data(dtype, 3, 4, 5)
    for where in (torch.tensor([0, 2, 1]), torch.tensor(1), torch.tensor([[0, 1], [1, 0]], dtype=torch.int32)):
        for axis in (0, 1, -1):
            assert_agrees_with_onnxruntime("Gather", x, where, opset=7, axis=axis)
    for opset in (11, 13):
        assert_agrees_with_onnxruntime("Gather", x, indices(4, 2, 3), opset=opset, axis=-2)
        assert_agrees_with_onnxruntime("Gather", x, indices(4, 0), opset=opset, axis=1)
        assert_agrees_with_onnxruntime("GatherElements", x, indices(4, 2, 3, 5), opset=opset, axis=1)
        assert_agrees_with_onnxruntime("GatherElements", x, indices(5, 3, 4, 2), opset=opset, axis=-1)


@every_type
def test_slices_are_gathered_by_vectors_of_indices(dtype: torch.dtype) -> None:
    x = data(dtype, 3, 4, 5)
    for opset in (11, 13):
        for depth in (1, 2, 3):
            assert_agrees_with_onnxruntime("GatherND", x, indices(3, 2, 2, depth), opset=opset)
    assert_agrees_with_onnxruntime("GatherND", x, indices(4, 3, 2, 1), opset=12, batch_dims=1)
    assert_agrees_with_onnxruntime("GatherND", x, indices(5, 3, 4, 1), opset=13, batch_dims=2)


@every_type
def test_updates_are_scattered(dtype: torch.dtype) -> None:
    x, updates, where = data(dtype, 3, 4, 5), data(dtype, 2, 3, 5, seed=1), distinct(4, 2, 3, 5)
    assert_agrees_with_onnxruntime("Scatter", x, where, updates, opset=9, axis=1)
    for opset in (11, 13, 16, 18):
        from_the_end = where - 4 * (where > 2)
        assert_agrees_with_onnxruntime("ScatterElements", x, from_the_end, updates, opset=opset, axis=-2)
        rows, cells = torch.tensor([[0], [-1]]), torch.tensor([[0, 1], [2, -1]])
        assert_agrees_with_onnxruntime("ScatterND", x, rows, data(dtype, 2, 4, 5, seed=1), opset=opset)
        assert_agrees_with_onnxruntime("ScatterND", x, cells, data(dtype, 2, 5, seed=1), opset=opset)


@every_reduction
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int32, torch.int64], ids=str)
def test_updates_that_meet_are_combined(reduction: str, dtype: torch.dtype) -> None:
    x, updates, where = data(dtype, 3, 4, 5), data(dtype, 2, 6, 5, seed=1), indices(4, 2, 6, 5)
    since = 16 if reduction in ("add", "mul") else 18
    for opset in {since, 18}:
        attributes = {"opset": opset, "reduction": reduction}
        assert_agrees_with_onnxruntime("ScatterElements", x, where, updates, axis=1, **attributes)
        rows = torch.tensor([[0], [2], [0], [-1]])
        assert_agrees_with_onnxruntime("ScatterND", x, rows, data(dtype, 4, 4, 5, seed=1), **attributes)
        cells = indices(3, 2, 6, 2)
        assert_agrees_with_onnxruntime("ScatterND", x, cells, data(dtype, 2, 6, 5, seed=1), **attributes)


@every_reduction
def test_updates_that_meet_have_two_derivatives(reduction: str) -> None:
    x, updates, where = data(torch.float64, 3, 4), data(torch.float64, 3, 6, seed=1), indices(4, 3, 6)
    attributes = {"opset": 18, "reduction": reduction}
    program = node_program("ScatterElements", x, where, updates, axis=1, **attributes)
    check_every_derivative(program, [x, where, updates])
    rows = torch.tensor([[0], [2], [0], [0]])
    slices = data(torch.float64, 4, 4, seed=1)
    check_every_derivative(node_program("ScatterND", x, rows, slices, **attributes), [x, rows, slices])


def test_equals_that_meet_share_the_derivative() -> None:
    x, where, updates = torch.tensor([1.0, 2.0]), torch.tensor([0, 0, 1]), torch.tensor([1.0, 1.0, 0.5])
    program = node_program("ScatterElements", x, where, updates, opset=18, reduction="max")
    assert program({}, x, where, updates)[0].tolist() == [1.0, 2.0]
    by_x, by_updates = torch.func.grad(lambda a, b: program({}, a, where, b)[0].sum(), argnums=(0, 1))(x, updates)
    torch.testing.assert_close(by_x, torch.tensor([1 / 3, 1.0]))
    torch.testing.assert_close(by_updates, torch.tensor([1 / 3, 1 / 3, 0.0]))


def test_infinities_meet_without_becoming_nan() -> None:
    """A masked score is −∞; the maximum over several of them still is."""
    x, where = torch.full((2,), -torch.inf), torch.tensor([0, 0])
    updates = torch.tensor([-torch.inf, -torch.inf])
    maxima = run_node("ScatterElements", x, where, updates, opset=18, reduction="max")
    assert maxima.tolist() == [-torch.inf, -torch.inf]


@pytest.mark.parametrize("dtype", BARE, ids=str)
def test_unsigned_numbers_are_moved_about(dtype: torch.dtype) -> None:
    """torch has no kernels for them; the same moves of signed numbers are the witness."""
    high = torch.iinfo(dtype).max
    x = torch.tensor([[high, 1, 2], [3, high - 1, 5]], dtype=dtype)
    signed = x.to(torch.int64)
    flat, updates = torch.tensor([1, 0, 1]), torch.tensor([[high], [0]], dtype=dtype)
    cases = [
        ("Gather", [flat], 13, {}),
        ("GatherElements", [torch.tensor([[2], [-1]])], 13, {"axis": 1}),
        ("GatherND", [torch.tensor([[0, 1], [1, -1]])], 13, {}),
        ("Trilu", [], 14, {}),
        ("Compress", [torch.tensor([False, True])], 11, {"axis": 0}),
        ("Unique", [], 11, {}),
    ]
    for name, operands, opset, attributes in cases:
        moved = run_node(name, x, *operands, opset=opset, **attributes)
        assert moved.dtype == dtype
        if name != "Unique" or dtype is not torch.uint64:  # their order differs in int64
            assert torch.equal(moved.to(torch.int64), run_node(name, signed, *operands, opset=opset, **attributes))
    cell = torch.tensor([[1], [0]])
    for reduction in ("none", "add", "mul", "max", "min"):
        placed = run_node("ScatterElements", x, cell, updates, opset=18, axis=1, reduction=reduction).tolist()
        combined = {"none": high, "add": 0, "mul": high, "max": high, "min": 1}[reduction]
        assert placed[0][1] == combined
    assert run_node("TopK", x, torch.tensor([1]), opset=11, outputs=2)[1].tolist() == [[0], [1]]
    assert run_node("NonZero", x, opset=13).shape == (2, 6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.int32], ids=str)
def test_the_largest_or_the_smallest_are_picked_the_first_of_equals_first(dtype: torch.dtype) -> None:
    x = torch.randint(0, 6, (3, 4, 5), generator=generator()).to(dtype)
    for largest in (0, 1):
        for axis in (0, 1, -1):
            attributes = {"outputs": 2, "largest": largest, "axis": axis}
            assert_agrees_with_onnxruntime("TopK", x, torch.tensor([3]), opset=11, **attributes)
            assert_agrees_with_onnxruntime("TopK", x, torch.tensor([0]), opset=24, **attributes)
    if dtype.is_floating_point:
        assert_agrees_with_onnxruntime("TopK", x, opset=7, outputs=2, k=2, axis=1)
        assert_agrees_with_onnxruntime("TopK", x, torch.tensor([2]), opset=10, outputs=2, axis=1)
        different = data(dtype, 3, 4)
        check_every_derivative(
            node_program("TopK", different, torch.tensor([2]), opset=11, outputs=2), [different, torch.tensor([2])]
        )


@pytest.mark.parametrize("axis", [-1, 0, 1, 2, -2, -3])
def test_one_stands_at_the_index_and_an_index_out_of_range_leaves_all_off(axis: int) -> None:
    where, depth, values = torch.tensor([[0, 2, -1], [5, -7, 3]]), torch.tensor(4), torch.tensor([2.0, 3.0])
    assert_agrees_with_onnxruntime("OneHot", where, depth, values, opset=11, axis=axis)
    assert_agrees_with_onnxruntime("OneHot", where.float(), depth.float().reshape(1), values, opset=11, axis=axis)
    check_every_derivative(node_program("OneHot", where, depth, values, opset=11, axis=axis), [where, depth, values])


def test_before_opset_11_no_index_counts_from_the_end() -> None:
    operands = torch.tensor([-1, 1]), torch.tensor(2), torch.tensor([0, 1])
    assert run_node("OneHot", *operands, opset=9).tolist() == [[0, 0], [0, 1]]
    assert run_node("OneHot", *operands, opset=11).tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize("diagonal", [None, 0, 1, -1, 9, -9])
@pytest.mark.parametrize("upper", [0, 1])
def test_a_triangle_is_kept(diagonal: int | None, upper: int) -> None:
    x = data(torch.float32, 2, 3, 4)
    operands = [x, None if diagonal is None else torch.tensor(diagonal)]
    assert_agrees_with_onnxruntime("Trilu", *operands, opset=14, upper=upper)


@pytest.mark.parametrize("attributes", [{}, {"axis": 0}, {"axis": 1}, {"axis": -1}])
def test_a_condition_picks_slices(attributes: dict[str, int]) -> None:
    x, condition = data(torch.float32, 3, 4, 5), torch.tensor([True, False, True])
    for opset in (9, 11):
        if opset == 11 or attributes.get("axis", 0) >= 0:
            assert_agrees_with_onnxruntime("Compress", x, condition, opset=opset, **attributes)
    check_every_derivative(node_program("Compress", x, condition, opset=11, **attributes), [x, condition])


def test_what_is_not_zero_is_found_in_row_major_order() -> None:
    for dtype in (torch.float32, torch.int64, torch.bool):
        assert_agrees_with_onnxruntime("NonZero", (data(torch.float32, 3, 4) > 0).to(dtype), opset=9)


@pytest.mark.parametrize("ordered", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.int8], ids=str)
def test_distinct_slices_are_found_with_their_places_and_counts(ordered: int, dtype: torch.dtype) -> None:
    x = torch.randint(0, 3, (6, 2), generator=generator()).to(dtype)
    for attributes in ({}, {"axis": 0}, {"axis": 1}, {"axis": -1}):
        assert_agrees_with_onnxruntime("Unique", x, opset=11, outputs=4, sorted=ordered, **attributes)


def test_the_derivative_of_distinct_elements_goes_to_their_first_appearance() -> None:
    x = torch.tensor([3.0, 1.0, 3.0])
    program = node_program("Unique", x, opset=11, outputs=4)
    weights = torch.tensor([10.0, 20.0])
    slope = torch.func.grad(lambda value: (program({}, value)[0] * weights).sum())(x)
    assert slope.tolist() == [20.0, 10.0, 0.0]
    different = torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64)
    check_finite_differences(lambda value: program({}, value)[:1], (different,))


@pytest.mark.parametrize("center_point_box", [0, 1])
@pytest.mark.parametrize("opset", [10, 11])
def test_boxes_that_overlap_a_better_one_are_dropped(center_point_box: int, opset: int) -> None:
    boxes, scores = torch.rand(2, 30, 4, generator=generator()), torch.rand(2, 3, 30, generator=generator(1))
    many, few = torch.tensor([50]), torch.tensor([4])
    given = {"opset": opset, "center_point_box": center_point_box}
    assert_agrees_with_onnxruntime("NonMaxSuppression", boxes, scores, **given)
    assert_agrees_with_onnxruntime("NonMaxSuppression", boxes, scores, few, **given)
    assert_agrees_with_onnxruntime("NonMaxSuppression", boxes, scores, many, torch.tensor([0.1]), **given)
    thresholds = torch.tensor([0.3]), torch.tensor([0.2])
    assert_agrees_with_onnxruntime("NonMaxSuppression", boxes, scores, few, *thresholds, **given)
    assert_agrees_with_onnxruntime("NonMaxSuppression", boxes, scores, few, None, torch.tensor([0.9]), **given)
    # Equal scores, overlaps and empty boxes: the first of equals is the better one.
    coarse = (boxes * 4).round() / 4, (scores * 4).round() / 4
    ties = torch.tensor([0.5]), torch.tensor([0.25])
    assert_agrees_with_onnxruntime("NonMaxSuppression", *coarse, many, *ties, **given)


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("shape", [(12,), (3, 12), (3, 1), (0,)])
def test_ngrams_of_integers_are_counted(mode: str, shape: tuple[int, ...]) -> None:
    pool = {"ngram_counts": [0, 4, 10], "ngram_indexes": [0, 1, 2, 3, 6, 5, 4]}
    pool["pool_int64s"] = [2, 3, 5, 4, 5, 6, 7, 8, 6, 7]
    weights = [0.5, 1.0, 2.0, 3.0, 0.25, 4.0, 5.0]
    for shortest, longest, skips in ((1, 1, 0), (1, 2, 0), (2, 2, 0), (1, 2, 5), (2, 2, 3)):
        lengths = {"min_gram_length": shortest, "max_gram_length": longest, "max_skip_count": skips}
        for dtype in (torch.int32, torch.int64):
            x = torch.randint(2, 9, shape, generator=generator()).to(dtype)
            for weighted in ({}, {"weights": weights}):
                assert_agrees_with_onnxruntime("TfIdfVectorizer", x, opset=9, mode=mode, **pool, **lengths, **weighted)


@pytest.mark.parametrize("name", ["HannWindow", "HammingWindow", "BlackmanWindow"])
@pytest.mark.parametrize("periodic", [0, 1])
def test_windows_have_the_size_and_type_asked_for(name: str, periodic: int) -> None:
    for size in (torch.tensor(10), torch.tensor(7, dtype=torch.int32), torch.tensor(2)):
        assert_agrees_with_onnxruntime(name, size, opset=17, periodic=periodic)
        double = element_type(torch.float64)
        assert_agrees_with_onnxruntime(name, size, opset=17, periodic=periodic, output_datatype=double)
    program = node_program(name, torch.tensor(4), opset=17, output_datatype=TensorProto.FLOAT16)
    assert program.to(dtype=torch.float64)({}, torch.tensor(4))[0].dtype == torch.float64


@pytest.mark.parametrize(
    "numbers", [(8, 16, 8192, 0.0, 4096.0), (20, 512, 16000, 20.0, 7600.0), (64, 1024, 44100, 0.0, 22050.0)]
)
def test_mel_bands_are_flat_in_the_edges_of_the_spectrum(numbers: tuple[float, ...]) -> None:
    operands = [torch.tensor(number) for number in numbers]
    assert_agrees_with_onnxruntime("MelWeightMatrix", *operands, opset=17)
    program = node_program("MelWeightMatrix", *operands, opset=17).to(dtype=torch.float64)
    edges = torch.tensor(numbers[3:], dtype=torch.float64)
    slope = torch.func.jacfwd(lambda both: program({}, *operands[:3], *both.unbind())[0])(edges)
    assert not slope.any()
