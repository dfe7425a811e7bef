"""Large products of single precision are as good as those of the usual library, and double ones untouched."""

import pytest
import torch

from eigengate.sweep.transposed_product import transposed_product


@pytest.mark.parametrize(("a", "p", "b"), [(3, 5, 4), (300, 4000, 200), (2048, 64, 1024), (64, 2**16, 64)])
def test_is_the_product_to_the_rounding_of_its_sums(a, p, b):
    generator = torch.Generator().manual_seed(0)
    A, B = torch.randn(a, p, generator=generator), torch.randn(b, p, generator=generator)
    exact = A.double() @ B.double().mT
    bound = p * torch.finfo(torch.float32).eps * (A.double().abs() @ B.double().abs().mT)
    assert bool(((transposed_product(A, B) - exact).abs() <= bound).all())


def test_takes_what_is_not_contiguous():
    A, B = torch.randn(4000, 300).mT, torch.randn(4000, 200).mT
    torch.testing.assert_close(transposed_product(A, B), A @ B.mT, rtol=0, atol=1e-3)


def test_keeps_double_precision():
    A, B = torch.randn(300, 4000).double(), torch.randn(200, 4000).double()
    assert torch.equal(transposed_product(A, B), A @ B.mT)
