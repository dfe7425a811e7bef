"""Every way in which a parameter can meet data, against dense float64 gradients, in one piece and in many."""

import pytest
import torch

from eigengate.sweep.collecting import collect
from eigengate.sweep.parameter_group import parameter_groups
from eigengate.sweep.sample_graph import SampleGraph
from tests.support.dense import parameter_jacobian
from tests.support.parameter_uses import USES
from tests.support.subjects import subject_of
from tests.sweep.test_architectures import assert_equal, assert_swept


@pytest.mark.parametrize("name", USES)
def test_a_use_is_swept_exactly(name):
    module, x = USES[name]()
    assert_swept(subject_of(module.double(), x))


@pytest.mark.parametrize("name", USES)
def test_gradients_of_every_form_have_the_products_of_dense_ones(name):
    """Of all samples with all, of some with others, and written out."""
    module, x = USES[name]()
    subject = subject_of(module.double(), x)
    graph = SampleGraph.of(subject)
    rows = torch.arange(subject.n)
    C = subject.outputs(subject.params, subject.x).shape[1]
    collected = collect(
        subject,
        graph,
        parameter_groups(graph),
        rows,
        projection=torch.eye(C, dtype=subject.dtype),
        with_inputs=False,
        on_pass=lambda: None,
    )
    sizes = [tensor.numel() for tensor in subject.params.values()]
    columns = dict(zip(subject.params, parameter_jacobian(subject).split(sizes, dim=1), strict=True))
    found = dict(collected.gradients())
    assert all(not columns[name].any() for name in columns.keys() - found.keys())
    for parameter, gradients in found.items():
        G = columns[parameter]
        assert_equal(gradients.products(gradients, torch.float64), G @ G.mT)
        first, last = gradients.select(rows[:1]), gradients.select(rows[1:])
        assert_equal(first.products(last, torch.float64), G[:C] @ G[C:].mT, 1e-9)
        written = gradients.dense().flatten(0, 1)
        assert_equal(written @ written.mT, G @ G.mT)
