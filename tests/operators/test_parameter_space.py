"""Flat vectors and the units of relative change."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eigengate.operators import ParameterSpace
from tests.support.subjects import normal

shapes = st.lists(st.lists(st.integers(1, 4), max_size=3), min_size=1, max_size=4)


@settings(deadline=None)
@given(shapes)
def test_unflatten_undoes_flatten(sizes):
    params = {f"w{i}": normal(*size, seed=i) for i, size in enumerate(sizes)}
    space = ParameterSpace.of(params)
    flat = space.flatten(params)
    assert flat.shape == (space.dimension,)
    back = space.unflatten(flat)
    assert list(back) == list(params)
    assert all(torch.equal(back[name], params[name]) for name in params)


def test_units_are_tensor_norms_and_zero_for_a_zero_tensor():
    params = {"w": torch.tensor([[3.0, 4.0]]), "b": torch.zeros(2)}
    assert ParameterSpace.of(params).units(params).tolist() == [5.0, 5.0, 0.0, 0.0]
