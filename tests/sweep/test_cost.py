"""How the work of an exact sweep grows with the number of samples."""

import itertools

import pytest
from torch.utils.flop_counter import FlopCounterMode

from eigengate.sweep import sweep
from tests.support.subjects import small_subject

SIZES = (4, 8, 12, 16)


def work(kind, part):
    """Multiplications and additions for each number of samples."""
    counts = []
    for n in SIZES:
        subject = small_subject(kind, n=n)
        with FlopCounterMode(display=False) as counter:
            sweep(subject, memory_budget_bytes=2**30, parts=frozenset({part}))
        counts.append(counter.get_total_flops())
    return counts


def differences(counts):
    return [later - before for before, later in itertools.pairwise(counts)]


@pytest.mark.parametrize("kind", ["mlp", "cnn", "attention"])
def test_input_jacobians_cost_the_same_for_every_sample(kind):
    first = differences(work(kind, "inputs"))
    assert first[0] > 0
    assert len(set(first)) == 1


@pytest.mark.parametrize("kind", ["mlp", "attention"])
def test_the_kernel_costs_the_same_for_every_sample_but_for_products_of_pairs(kind):
    second = differences(differences(work(kind, "parameters")))
    # Quadratic, and no more than that.
    assert second[0] > 0
    assert len(set(second)) == 1
