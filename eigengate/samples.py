"""One record per probe sample, for finding out which samples a network is unstable on."""

from collections.abc import Mapping

from eigengate.contract import SampleRecord
from eigengate.operators.subject import Subject
from eigengate.sweep._sweep import forward


def sample_records(
    subject: Subject, per_sample: Mapping[str, tuple[float | None, ...]], *, memory_budget_bytes: int
) -> tuple[SampleRecord, ...]:
    """Label, prediction, loss and every per-sample measurement of each probe sample."""
    f = forward(subject, memory_budget_bytes=memory_budget_bytes)
    losses = subject.loss.per_sample(f, subject.y).double().tolist()
    classes = subject.loss.name == "cross_entropy"
    predicted = f.argmax(dim=1).tolist() if classes else [None] * subject.n
    labels = subject.y.tolist() if classes and subject.labels_given else [None] * subject.n
    return tuple(
        SampleRecord(
            index=i,
            label=labels[i],
            predicted=predicted[i],
            loss=losses[i] if losses[i] < float("inf") else None,
            values={name: values[i] for name, values in per_sample.items()},
        )
        for i in range(subject.n)
    )
