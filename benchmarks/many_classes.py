"""A whole audit of ResNet-50 with 1000 classes, n = 4, in ten minutes and 8 GiB.

python -m benchmarks.many_classes

The architecture ships with the onnx package (light_resnet50.onnx); its weights, which the file fills with one number,
are drawn.
"""

import resource
import time

import torch

import eigengate
from eigengate.contract import AuditConfig, AuditEvent, Measurement, StageEvent
from tests.support.light_models import image, with_random_weights

SAMPLES = 4
BUDGET = 8 * 2**30
SECONDS = 600.0


def show(measurement: Measurement) -> None:
    interval = measurement.error.numerical
    ends = "" if interval is None else f"[{interval.low:.5g}, {interval.high:.5g}]"
    value = "-" if measurement.value is None else f"{measurement.value:.5g}"
    print(f"  {measurement.name:<44} {value:>12} {ends:<28} {measurement.outcome}")


def main() -> None:
    lowered = with_random_weights("resnet50")
    began = time.perf_counter()

    def on_event(event: AuditEvent) -> None:
        if isinstance(event, StageEvent):
            print(f"{time.perf_counter() - began:6.0f} s  {event.stage}", flush=True)

    model = eigengate.load_model(lowered.SerializeToString())
    x, y = image(lowered, SAMPLES), torch.arange(SAMPLES) * 100
    probe = eigengate.Probe({model.inputs[0].name: x}, y, "0" * 64)
    config = AuditConfig(time_budget_s=SECONDS, memory_budget_bytes=BUDGET)
    report = eigengate.audit(model, probe, config, on_event)
    for measurement in report.measurements:
        show(measurement)
    for problem in report.problems:
        print(f"  {problem.quantity}: {problem.detail}")
    assert report.plan is not None
    for step in report.plan.steps:
        print(f"  {step.quantity}: planned {step.seconds:.0f} s, took {step.spent_seconds:.0f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seconds = time.perf_counter() - began
    print(f"{seconds:.0f} s of {SECONDS:.0f} s, peak {peak:.1f} GiB of {BUDGET / 2**30:.0f} GiB")


if __name__ == "__main__":
    main()
