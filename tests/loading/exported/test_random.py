"""Exported networks that draw random numbers: the same draws as the original interpreter's, for every sample."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eigengate.loading import load_model
from eigengate.loading.certificate import certify
from tests.support.exported_networks import DECOMPOSED, FIXED, FREE, Form, exported
from tests.support.random_networks import network, probe

# Reassociated sums and the type in which noise is scaled, on values of order one to ten.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
CASES = [
    *((name, FREE) for name in ("dropout", "alpha_dropout", "attention", "lstm", "like", "normal", "distributions")),
    *((name, FREE) for name in ("dropout_in_place", "dropout_transposed", "multinomial", "permutation", "bernoulli")),
    *((name, DECOMPOSED) for name in ("dropout", "distributions", "attention_masked")),
    *((name, FIXED) for name in ("dropout", "gumbel")),
]


@pytest.mark.parametrize(("name", "form"), CASES, ids=[f"{name}-{form}" for name, form in CASES])
def test_draws_are_those_of_the_original_interpreter_and_the_same_for_every_sample(name: str, form: Form) -> None:
    x = probe(3)
    model = load_model(exported(copy.deepcopy(network(name)), (x,), form))
    certificate = certify(model.settled(x), (x,), 0, torch.Generator().manual_seed(0))
    assert certificate.passed, [check for check in certificate.checks if not check.passed]
    together = model.apply(model.params, x)
    alone = torch.cat([model.apply(model.params, sample) for sample in x.split(1)])
    torch.testing.assert_close(together, alone, **CLOSE)
    assert any("draws random numbers (aten::" in note and "seed 0" in note for note in model.notes)
    assert model.fixed_batch == (3 if form == FIXED else 1)


class Attention(nn.Module):
    """Its file names no probability of dropout, with which attention drops nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x)


def test_attention_without_a_word_of_dropout_draws_nothing() -> None:
    x = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    model = load_model(exported(Attention(), (x,), FREE))
    assert not any("random" in note for note in model.notes)
    assert model.fixed_batch is None
    torch.testing.assert_close(model.apply(model.params, x), Attention()(x).flatten(1), **CLOSE)
