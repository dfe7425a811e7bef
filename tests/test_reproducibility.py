"""The switches that digits depend on are off while an audit measures, recorded, and put back."""

import pytest
import torch

import eigengate
from eigengate.reproducibility import is_deterministic, is_tf32, reproducible
from support.lenet import traced

PLACES = {
    "cuda.matmul": lambda: torch.backends.cuda.matmul,
    "cudnn": lambda: torch.backends.cudnn,
    "cudnn.conv": lambda: torch.backends.cudnn.conv,
    "cudnn.rnn": lambda: torch.backends.cudnn.rnn,
    "mkldnn": lambda: torch.backends.mkldnn,
    "mkldnn.matmul": lambda: torch.backends.mkldnn.matmul,
    "mkldnn.conv": lambda: torch.backends.mkldnn.conv,
}


def switches() -> dict[str, object]:
    found: dict[str, object] = {name: place().fp32_precision for name, place in PLACES.items()}
    found["deterministic"] = torch.are_deterministic_algorithms_enabled()
    found["benchmark"] = torch.backends.cudnn.benchmark
    for name, read in (
        ("matmul", torch.get_float32_matmul_precision),
        ("cudnn.allow_tf32", lambda: torch.backends.cudnn.allow_tf32),
        ("matmul.allow_tf32", lambda: torch.backends.cuda.matmul.allow_tf32),
    ):
        try:
            found[name] = read()
        except RuntimeError:  # torch will not answer to the older name after a choice by the newer one
            found[name] = "mixed"
    return found


def by_older_names() -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True


def by_newer_names() -> None:
    torch.backends.fp32_precision = "tf32"
    torch.backends.cudnn.conv.fp32_precision = "ieee"


def by_a_level() -> None:
    torch.set_float32_matmul_precision("medium")


def otherwise() -> None:
    torch.backends.cudnn.benchmark = True
    torch.use_deterministic_algorithms(True)


@pytest.fixture
def undone():
    general, before = torch.backends.fp32_precision, switches()
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False
    torch.backends.fp32_precision = general
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True
    for name, place in PLACES.items():
        place().fp32_precision = before[name]
    assert switches() == before


@pytest.mark.parametrize("choose", [lambda: None, by_older_names, by_newer_names, by_a_level, otherwise])
def test_whatever_the_caller_chose_products_are_whole_inside_and_as_chosen_outside(undone, choose):
    choose()
    before = switches()
    with reproducible():
        inside = switches()
        assert not is_tf32()
        assert is_deterministic()
    assert switches() == before
    assert {inside[name] for name in PLACES} == {"ieee"}
    assert (inside["cudnn.allow_tf32"], inside["matmul.allow_tf32"], inside["benchmark"]) == (False, False, False)


def test_what_a_caller_allowed_is_seen(undone):
    by_older_names()
    assert is_tf32()


def test_a_report_says_with_which_switches_it_was_measured(undone):
    by_a_level()
    model = eigengate.load_model(traced(torch.nn.Linear(5, 3).eval(), torch.zeros(2, 5)))
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    config = eigengate.AuditConfig(device="cpu", quantities=("input_jacobian",))
    report = eigengate.audit(model, eigengate.Probe({"input": x}, None, "0" * 64), config)
    assert (report.engine.deterministic, report.engine.tf32) == (True, False)
    assert torch.get_float32_matmul_precision() == "medium"
