"""What the network does on the probe set, and in which natural units."""

from typing import ClassVar, Final, final

from eigengate.contract import Interval, Measurement, Quantity
from eigengate.diagnostics._base import Diagnostic, Findings
from eigengate.diagnostics._context import Context
from eigengate.diagnostics._metric import Metric
from eigengate.estimators import log_jackknife_interval
from eigengate.estimators.resampling import wilson_interval
from eigengate.sweep import Spread

_METHOD: Final = "forward pass"
_ACCURACY: Final = Metric("model.accuracy", "Share of samples classified as labelled", "", "higher_is_stabler")
_LOSS: Final = Metric("model.loss", "Mean loss", "", "lower_is_stabler")
_OUTPUT_SPREAD: Final = Metric("model.output_spread", "Natural output size δ_f", "output", "neutral")
_INPUT_SPREAD: Final = Metric("probe.input_spread", "Natural input size δ_x", "input", "neutral")
_SAMPLES: Final = Metric("probe.samples", "Probe samples measured", "samples", "neutral")


@final
class ModelQuality(Diagnostic):
    """Accuracy and loss on the probe set, and the spreads δ = (mean ‖p_i − p̄‖²)^½ of inputs and outputs.

    The spreads are the units that make the components of the stability index dimensionless.
    """

    name: ClassVar[str] = "model"
    quantity: ClassVar[Quantity | None] = None
    title: ClassVar[str] = "Model on the probe set"
    reference: ClassVar[str] = "Wilson 1927 (interval of the accuracy)"
    metrics: ClassVar[tuple[Metric, ...]] = (_ACCURACY, _LOSS, _OUTPUT_SPREAD, _INPUT_SPREAD, _SAMPLES)

    def measure(self, context: Context) -> Findings:
        subject, logits = context.subject, context.sweep.logits
        losses = subject.loss.per_sample(logits, subject.y).double()
        loss = _LOSS.per_sample(
            losses,
            method=f"{subject.loss.name}, forward pass",
            generator=context.generator("bootstrap/model.loss"),
            outcomes=tuple("non_finite" if bad else "ok" for bad in losses.isnan().tolist()),
        )
        return Findings.of(
            [
                _accuracy(context),
                loss,
                _spread(_OUTPUT_SPREAD, context.output_spread),
                _spread(_INPUT_SPREAD, context.input_spread),
                _SAMPLES.exactly(float(subject.n), method="count"),
            ],
            per_sample={_LOSS.name: losses},
        )


def _accuracy(context: Context) -> Measurement:
    subject = context.subject
    if not subject.labels_given:
        return _ACCURACY.missing("not_applicable", "the probe data has no class labels", _METHOD)
    if subject.y.is_floating_point():
        return _ACCURACY.missing("not_applicable", "squared error compares with values, not with labels", _METHOD)
    right = int((context.sweep.logits.argmax(dim=1) == subject.y).sum())
    interval = wilson_interval(right, subject.n)
    return _ACCURACY.exactly(right / subject.n, method=_METHOD, sampling=interval, detail=f"{right} of {subject.n}")


def _spread(metric: Metric, spread: Spread) -> Measurement:
    gram = spread.centred_gram
    sampling: Interval | None = None
    if spread.value > 0:
        n = len(gram)
        # The distances from the samples' own mean are short by (n − 1)/n on average.
        sampling = log_jackknife_interval(lambda w: (spread.squared(w) * n / (n - 1)).sqrt(), n, device=gram.device)
    return metric.exactly(spread.value, method=_METHOD, sampling=sampling)
