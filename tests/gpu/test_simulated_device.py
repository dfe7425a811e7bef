"""Nothing mixes host and device: all diagnostics on a simulated device find what they find on the CPU."""

import multiprocessing
import warnings

import pytest
import torch

import eigengate
from eigengate import preparation
from eigengate.contract import AuditConfig
from eigengate.diagnostics import Context, load_all
from eigengate.operators import Subject
from tests.support import simulated_device
from tests.support.torch_networks import build, torchscript

# Drawn numbers are the same on both, but Krylov estimates turn rounding into their last steps.
EXACT, ESTIMATED = 1e-8, 5e-2


def contexts(name: str, device: torch.device, config: AuditConfig) -> list[Context]:
    network, x = build(name)
    model = eigengate.load_model(torchscript(network, x))
    probe = eigengate.Probe({model.inputs[0].name: x}, torch.arange(len(x)) % 3, "0" * 64)
    found = []
    for place in (torch.device("cpu"), device):
        preparation._device = lambda wanted, place=place: place
        found.append(Context(preparation.prepare(model, probe, config).subject, config))
    return found


def draws_of(subject: Subject, seed: int, stream: str) -> torch.Generator:
    """As ``Subject.generator``, which PyTorch lets no simulated device have."""
    kind = torch.Generator if subject.x.device.type == "cpu" else simulated_device.Draws
    generator = kind()
    generator.manual_seed(seed + len(stream))
    return generator


def agree(one: float | None, other: float | None, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    return one == pytest.approx(other, rel=tolerance, abs=tolerance)


def measure_both(name: str, estimates: bool) -> tuple[list[str], list[str], int]:
    """What differs, which operators were given both sides, and how many values were compared: for one process."""
    warnings.simplefilter("ignore")
    device = simulated_device.register()
    Subject.generator = draws_of
    quantities = AuditConfig().quantities
    if estimates:
        from eigengate.planning import planner

        planner.DENSE_HESSIAN, planner.MATRIX_FREE_PASSES, planner._SWEEP_SHARE = 10, 2, 0.0
        quantities = tuple(quantity for quantity in quantities if quantity != "attribution")
    cpu, there = contexts(name, device, AuditConfig(precision="float64", quantities=quantities))
    differing, compared = [], 0
    for diagnostic in load_all():
        if diagnostic.quantity is None or diagnostic.quantity in quantities:
            pairs = zip(diagnostic.measure(cpu).measurements, diagnostic.measure(there).measurements, strict=True)
            for one, other in pairs:
                compared += one.value is not None
                if not agree(one.value, other.value, EXACT if one.exact else ESTIMATED):
                    differing.append(f"{one.name}: {one.value} {other.value}")
    # A detector that finds nothing anywhere would prove nothing.
    before = list(simulated_device.MIXED)
    torch.ones(2, 2).to(device) @ torch.ones(2, 2)
    assert [*before, "mm"] == simulated_device.MIXED
    return differing, before, compared


@pytest.mark.parametrize(
    ("name", "estimates"), [("lenet", False), ("vision_transformer", False), ("lenet", True), ("tied", False)]
)
def test_every_diagnostic_stays_on_the_device_and_agrees(name, estimates):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        differing, mixed, compared = pool.apply(measure_both, (name, estimates))
    assert mixed == []
    assert differing == []
    assert compared > (40 if estimates else 70)
