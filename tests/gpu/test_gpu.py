"""What is measured on a GPU is what is measured on a CPU, every time, in pieces of any size."""

import os

import pytest
import torch

import eigengate
from eigengate.contract import AuditConfig, StabilityReport
from support.lenet import traced
from tests.support.subjects import attention, classes, cnn

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    # Whether digits repeat is tested here; torch warns of kernels that might not, once each.
    pytest.mark.filterwarnings("ignore:.*deterministic:UserWarning"),
]
# As the worker and the command line have it. cuBLAS reads it before its first use, which is in the first test here.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

NETWORKS = {"convolutional": (cnn, (1, 6, 6)), "transformer": (attention, (4, 5))}
SAMPLES = 24
# On a CPU float32 is within 2e-7 of float64 on these networks, condition numbers included. cuDNN may choose Winograd's
# convolutions, which lose two more digits. In float64 the same sums are 5e8 times finer.
TOLERANCE = {"float32": 1e-4, "float64": 1e-11}
# A mebibyte is the least that may be asked for: 256 samples do not fit into it at once.
TIGHT, MANY = 2**20, 256


def measured(kind: str, device: str, *, n: int = SAMPLES, **config: object) -> StabilityReport:
    """An audit of the file's network, loaded anew."""
    x = torch.randn(n, *NETWORKS[kind][1], generator=torch.Generator().manual_seed(1))
    with torch.random.fork_rng(devices=[]):
        model = eigengate.load_model(traced(NETWORKS[kind][0]().float().eval(), x))
    probe = eigengate.Probe({model.inputs[0].name: x}, classes(n, seed=2), "0" * 64)
    return eigengate.audit(model, probe, AuditConfig.model_validate({"device": device, "max_samples": n, **config}))


def assert_agrees(found: StabilityReport, expected: StabilityReport, tolerance: float, *, least: int) -> None:
    """Measurements that no random number takes part in, at ``least`` so many; of the others, that both have them."""
    assert not found.problems
    assert [m.name for m in found.measurements] == [m.name for m in expected.measurements]
    compared = 0
    for one, other in zip(found.measurements, expected.measurements, strict=True):
        assert one.outcome == other.outcome, one.name
        if one.exact and other.exact and other.value is not None:
            assert one.value == pytest.approx(other.value, rel=tolerance, abs=tolerance), one.name
            compared += 1
    assert compared >= least


def digits(report: StabilityReport) -> list[tuple[str, float | None]]:
    return [(measurement.name, measurement.value) for measurement in report.measurements]


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("precision", TOLERANCE)
def test_the_gpu_agrees_with_the_cpu(kind, precision):
    found, expected = (measured(kind, device, precision=precision) for device in ("cuda", "cpu"))
    assert found.engine.device == torch.cuda.get_device_name(0)
    assert (found.engine.deterministic, found.engine.tf32) == (True, False)
    assert_agrees(found, expected, TOLERANCE[precision], least=60)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_same_seed_gives_the_same_digits_again(kind):
    assert digits(measured(kind, "cuda")) == digits(measured(kind, "cuda"))


@pytest.mark.parametrize("kind", NETWORKS)
def test_another_seed_gives_other_digits_where_numbers_are_drawn(kind):
    assert digits(measured(kind, "cuda")) != digits(measured(kind, "cuda", seed=1))


@pytest.mark.parametrize("kind", NETWORKS)
def test_pieces_of_any_size_agree(kind):
    quantities = ("input_jacobian", "parameter_jacobian")
    roomy, tight = (
        measured(kind, "cuda", n=MANY, precision="float64", quantities=quantities, memory_budget_bytes=budget)
        for budget in (2**31, TIGHT)
    )
    assert_agrees(tight, roomy, TOLERANCE["float64"], least=20)


def test_a_gpu_is_chosen_where_there_is_one():
    report = measured("transformer", "auto", quantities=("input_jacobian",))
    assert report.engine.device == torch.cuda.get_device_name(0)


@pytest.fixture
def little_memory():
    """A quarter of a GiB of the GPU for this process."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(2**28 / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def test_memory_that_really_runs_out_cuts_the_work_into_smaller_pieces(little_memory):
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 64, 3, padding=1), torch.nn.Tanh(), torch.nn.AvgPool2d(8), torch.nn.Flatten(),
        torch.nn.Linear(1024, 10),
    ).eval()  # fmt: skip
    # 64 channels of 32 x 32 numbers of 256 samples are 64 MiB in float32; a backward pass holds several of them.
    x = torch.randn(256, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    model = eigengate.load_model(traced(module, x))
    probe = eigengate.Probe({model.inputs[0].name: x}, None, "0" * 64)
    config = AuditConfig(
        device="cuda", quantities=("input_jacobian", "parameter_jacobian"), max_samples=256, memory_budget_bytes=2**31
    )
    report = eigengate.audit(model, probe, config)
    assert not report.problems
    (entry, *_) = [entry for entry in report.coverage if entry.subject == "memory"]
    assert "memory ran out in the stage" in entry.note
    assert "CUDA out of memory" in entry.note
    assert report.value("input_jacobian.operator_norm") is not None
