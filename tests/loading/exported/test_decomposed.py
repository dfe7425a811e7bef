"""Operators written anew for decomposed programs: the numbers of the kernels, and derivatives that these lack."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.exported.decomposed import DECOMPOSED
from eigengate.loading.torchscript.rewrites import REWRITES

aten = torch.ops.aten
LARGEST = 2**63 - 1


def normal(*sizes: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(sizes))
    return torch.randn(*sizes, generator=generator, dtype=torch.float64)


def attention() -> tuple[Tensor, Tensor, Tensor]:
    return normal(2, 2, 5, 4), normal(2, 2, 6, 4), normal(2, 2, 6, 4)


MASK = torch.where(torch.ones(5, 6).tril().bool(), 0.0, -torch.inf).double()
BAGS = (torch.tensor([1, 2, 4, 3, 0]), torch.tensor([0, 2]))

# By operator: the kernel, its first arguments, and the others by name.
CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {
    "aten::_native_batch_norm_legit_no_training": (
        aten._native_batch_norm_legit_no_training.default,
        (normal(3, 4, 2),),
        {
            "weight": normal(4),
            "bias": normal(4),
            "running_mean": normal(4),
            "running_var": normal(4).exp(),
            "momentum": 0.1,
            "eps": 1e-3,
        },
    ),
    "aten::_native_batch_norm_legit.no_stats": (
        aten._native_batch_norm_legit.no_stats,
        (normal(3, 4, 2),),
        {"weight": normal(4), "bias": normal(4), "training": True, "momentum": 0.1, "eps": 1e-3},
    ),
    "aten::copy": (aten.copy.default, (normal(2, 3),), {"src": normal(3)}),
    "aten::_scaled_dot_product_flash_attention_for_cpu": (
        aten._scaled_dot_product_flash_attention_for_cpu.default,
        attention()[:1],
        {"key": attention()[1], "value": attention()[2], "attn_mask": MASK[None, None], "scale": 0.3},
    ),
    "aten::_safe_softmax": (aten._safe_softmax.default, (MASK + normal(5, 6),), {"dim": 0}),
    "aten::view.default": (aten.view.default, (normal(2, 6),), {"size": [3, 4]}),
    "aten::_unsafe_view": (aten._unsafe_view.default, (normal(2, 6),), {"size": [-1, 4]}),
    "aten::native_dropout": (aten.native_dropout.default, (normal(3, 4),), {"p": 0.3, "train": False}),
    "aten::_embedding_bag_forward_only": (
        aten._embedding_bag_forward_only.default,
        (normal(5, 3),),
        {"indices": BAGS[0], "offsets": BAGS[1], "mode": 1},
    ),
}
# Kernels of other devices; what they share with the one above is tested there.
ELSEWHERE = {
    "aten::_scaled_dot_product_efficient_attention": (4, "attn_bias"),
    "aten::_scaled_dot_product_flash_attention": (9, None),
    "aten::_scaled_dot_product_cudnn_attention": (9, "attn_bias"),
}


def test_every_operator_has_a_case() -> None:
    assert DECOMPOSED.keys() == CASES.keys() | ELSEWHERE.keys()


def first(result: Any) -> Tensor:
    return result[0] if isinstance(result, list | tuple) else result


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_are_those_of_the_kernel(name: str) -> None:
    kernel, arguments, keywords = CASES[name]
    ours, theirs = DECOMPOSED[name](*arguments, **keywords), kernel(*arguments, **keywords)
    torch.testing.assert_close(first(ours), first(theirs))
    assert isinstance(ours, tuple) == isinstance(theirs, tuple)
    assert not isinstance(ours, tuple) or len(ours) == len(theirs)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_of_first_and_second_order_exist_in_both_modes(name: str) -> None:
    _, (x,), keywords = CASES[name]
    trained = [key for key, value in keywords.items() if isinstance(value, Tensor) and value.is_floating_point()]
    trained = [key for key in trained if not key.startswith(("running", "attn"))]

    def function(x: Tensor, *others: Tensor) -> Tensor:
        finite = first(DECOMPOSED[name](x, **{**keywords, **dict(zip(trained, others, strict=True))}))
        return finite.sin()

    inputs = tuple(t.nan_to_num(neginf=-3.0).requires_grad_() for t in (x, *(keywords[key] for key in trained)))
    assert gradcheck(function, inputs, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(function, inputs, check_fwd_over_rev=True)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_kernels_of_other_devices_give_as_many_results(name: str) -> None:
    count, mask = ELSEWHERE[name]
    query, key, value = attention()
    keywords = {mask: MASK[None, None]} if mask else {"is_causal": True}
    results = DECOMPOSED[name](query, key=key, value=value, dropout_p=0.0, **keywords)
    expected = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=MASK if mask else None, is_causal=not mask
    )
    torch.testing.assert_close(results[0], expected)
    overloads = getattr(aten, name.removeprefix("aten::"))
    assert len(results) == count == len(overloads.default._schema.returns)


def test_an_open_end_is_not_added_to() -> None:
    x, part = normal(4, 3), normal(2, 3)
    ours = REWRITES["aten::slice_scatter"](x, src=part, dim=0, start=2, end=LARGEST)
    torch.testing.assert_close(ours, torch.cat([x[:2], part]))


def test_a_row_that_may_attend_to_nothing_gives_zeros_and_no_nan() -> None:
    x = torch.full((2, 3), -torch.inf, dtype=torch.float64)
    x[1] = 0.0
    value, slope = torch.func.jvp(
        lambda z: DECOMPOSED["aten::_safe_softmax"](z, dim=-1), (x,), (torch.ones(2, 3).double(),)
    )
    assert value[0].tolist() == [0.0, 0.0, 0.0]
    assert torch.isfinite(slope).all()


def test_dropout_in_training_is_refused() -> None:
    for train in (True, None):
        with pytest.raises(UnsupportedOperatorError, match="random numbers"):
            DECOMPOSED["aten::native_dropout"](normal(2), p=0.5, train=train)
