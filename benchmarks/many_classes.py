"""ResNet-50 with 1000 classes, whose Jacobians are estimated through products, in ten minutes and 8 GiB.

python -m benchmarks.many_classes

The architecture ships with the onnx package; its weights are drawn, and no certificate is asked of them: difference
quotients of a random rectifier network meet kinks.
"""

import resource
import time

import torch

import eigengate
from eigengate.contract import AuditConfig, Measurement
from eigengate.diagnostics import Context, Diagnostic, load_all
from eigengate.operators import Subject
from eigengate.preparation import prepare
from tests.support.light_models import image, with_random_weights

SAMPLES = 4
BUDGET = 8 * 2**30
SECONDS = 600.0
CONFIG = AuditConfig(quantities=("input_jacobian", "parameter_jacobian", "ntk"), memory_budget_bytes=BUDGET)


def subject() -> Subject:
    lowered = with_random_weights("resnet50")
    model = eigengate.load_model(lowered.SerializeToString())
    x, y = image(lowered, SAMPLES), torch.arange(SAMPLES) * 100
    return prepare(model, eigengate.Probe({model.inputs[0].name: x}, y, "0" * 64), CONFIG).subject


def diagnostics() -> list[Diagnostic]:
    return [diagnostic for diagnostic in load_all() if diagnostic.quantity in CONFIG.quantities]


def show(measurement: Measurement) -> None:
    interval = measurement.error.numerical
    ends = "" if interval is None else f"[{interval.low:.5g}, {interval.high:.5g}]"
    value = "-" if measurement.value is None else f"{measurement.value:.5g}"
    print(f"  {measurement.name:<44} {value:>12} {ends:<28} {measurement.outcome}", flush=True)


if __name__ == "__main__":
    began, context = time.perf_counter(), Context(subject(), CONFIG)
    for diagnostic in diagnostics():
        for found in diagnostic.measure(context).measurements:
            show(found)
        seconds, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        processor = time.process_time()
        print(
            f"{diagnostic.name}: {seconds:.0f} s of {SECONDS:.0f} s ({processor:.0f} s of processor), "
            f"peak {peak:.1f} GiB of {BUDGET / 2**30:.0f} GiB",
            flush=True,
        )
