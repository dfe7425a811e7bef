"""From a loaded model, probe data and configuration to the subject that everything is measured on."""

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import Final, final

import torch
from torch import Tensor

from eigengate.contract import AuditConfig, Coverage, InputInfo, ModelInfo, OutputInfo, ParameterInfo, ProbeInfo
from eigengate.errors import ConfigError, ModelError, NonFiniteOutputError, NotDifferentiableError
from eigengate.loading.binding import Binding, bind
from eigengate.loading.functional_model import FunctionalModel, Opening
from eigengate.loading.opening import opened
from eigengate.loading.probe import Probe
from eigengate.operators.subject import Subject
from eigengate.targets import output_kind, targets

# Batches of another size are summed in another order; samples that influence one another differ in the first digits.
_INDEPENDENCE_TOLERANCE: Final = 1e-3


@final
@dataclass(frozen=True)
class Preparation:
    """The subject, and what the report says about where it came from.

    ``network`` is the model as loaded, opened at its first embedding where no input is floating point; ``binding`` what
    it takes, on the CPU in the dtypes it declares.
    """

    subject: Subject
    network: FunctionalModel
    binding: Binding
    model: ModelInfo
    probe: ProbeInfo
    coverage: tuple[Coverage, ...]


def prepare(model: FunctionalModel, probe: Probe, config: AuditConfig) -> Preparation:
    """Bind the probe to the inputs, choose output, parameters, loss, device and precision as configured.

    Raises:
        ConfigError: device, output or parameter choice do not exist.
        ProbeError: probe and model do not fit together.
        NotDifferentiableError: the output holds no floating point numbers, or neither an input nor an embedding does.
        ModelError: a sample's output depends on the samples beside it.
        NonFiniteOutputError: the model's output on the probe data is not finite.
    """
    device = _device(config.device)
    wanted = config.output
    network, binding, position = _bound(model.select(wanted.select, None, cut_softmax=False), probe, config.max_samples)
    analysed = network.select(
        wanted.select, None if wanted.kind == "auto" else wanted.kind, cut_softmax=wanted.cut_softmax
    ).train_only(config.parameters.include, config.parameters.exclude)
    dtype = torch.float64 if config.precision == "float64" else torch.float32
    analysed = analysed.to(device=device, dtype=dtype)
    inputs = tuple(t.to(device, dtype if t.is_floating_point() else None) for t in binding.inputs)
    as_loaded = analysed
    analysed = as_loaded.settled(*inputs)
    f = analysed.apply(analysed.params, *inputs).detach()
    _require_numbers(f, analysed.output.name)
    _require_finite(f)
    _require_independence(f, analysed, as_loaded, inputs)
    y = None if probe.y is None else probe.y[: f.shape[0]].to(device)
    kind = wanted.kind if wanted.kind != "auto" else ("logits" if analysed.output.softmax_cut else output_kind(f, y))
    analysed = replace(analysed, output=replace(analysed.output, kind=kind))
    goal = targets(f, y, kind, config)
    subject = Subject(analysed, inputs, goal.y, goal.given, goal.loss, position)
    return Preparation(
        subject=subject,
        network=network,
        binding=binding,
        model=_model_info(analysed, model, f.shape[1], binding.inputs),
        probe=_probe_info(probe, subject),
        coverage=_coverage(model, analysed, probe, subject),
    )


def _bound(model: FunctionalModel, probe: Probe, most: int) -> tuple[FunctionalModel, Binding, int]:
    """The network that is measured, what it takes and which of it is the differentiable input.

    Where no input is floating point, it is the output of the first embedding, at which the network is opened.
    """
    binding = bind(model.inputs, probe, model.dimension_names).first(most)
    if binding.position is not None:
        return model, binding, binding.position
    network, inputs = opened(model, binding.inputs)
    position = len(inputs) - 1
    return network, Binding(inputs, position), position


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {wanted!r} does not exist here", hint="use device=auto or device=cpu")
    return device


def _require_numbers(f: Tensor, output: str) -> None:
    if not f.is_floating_point():
        raise NotDifferentiableError(
            f"output {output!r} holds {str(f.dtype).removeprefix('torch.')}, which has no derivative",
            hint="export the network without its closing argmax or comparison, or choose another output.select",
        )
    if f.shape[1] == 0:
        raise ModelError(f"output {output!r} holds no number", hint="choose another output.select")


def _require_finite(f: Tensor) -> None:
    bad = torch.nonzero(~torch.isfinite(f).all(dim=1)).flatten().tolist()
    if bad:
        raise NonFiniteOutputError(
            f"the output holds NaN or infinity for {len(bad)} of {f.shape[0]} samples, e.g. {bad[:5]}",
            hint="check the preprocessing of the probe data and the model's weights",
        )


def _require_independence(
    f: Tensor, model: FunctionalModel, as_loaded: FunctionalModel, inputs: tuple[Tensor, ...]
) -> None:
    if f.shape[0] < 2:
        return
    others = _in_other_company(model, as_loaded, inputs)
    difference = float((others - f[: others.shape[0]]).abs().max())
    if difference > _INDEPENDENCE_TOLERANCE * float(f.abs().max()):
        raise ModelError(
            f"the output of a sample depends on the samples beside it: it changes by {difference:.3g} without them",
            hint="export in evaluation mode (model.eval()); a network must not compute across its batch, and one that "
            "decides by its data what to compute is exported for batches of one sample",
        )


def _in_other_company(model: FunctionalModel, as_loaded: FunctionalModel, inputs: tuple[Tensor, ...]) -> Tensor:
    """The outputs of the first samples, or of all, computed with other samples beside them, or with none."""
    n, size = inputs[0].shape[0], model.fixed_batch
    if model.batching is not None and model.batching.by_value and as_loaded.fixed_batch is None:
        # All at once: one decision for the batch may by chance be that for half of it, but not that for every sample.
        return as_loaded.apply(model.params, *inputs).detach()
    # A whole batch of a network of fixed batch runs at once, and its samples alone otherwise.
    few = size if size is not None and 1 < size < n else n // 2
    return model.apply(model.params, *(tensor[:few] for tensor in inputs)).detach()


def _model_info(model: FunctionalModel, loaded: FunctionalModel, classes: int, fed: tuple[Tensor, ...]) -> ModelInfo:
    params = model.params
    shapes = "\n".join(f"{name} {list(tensor.shape)}" for name, tensor in sorted(params.items()))
    return ModelInfo.model_validate(
        {
            "format": model.format,
            "sha256": model.sha256,
            "inputs": tuple(
                InputInfo(name=spec.name, dtype=str(tensor.dtype).removeprefix("torch."), shape=spec.shape)
                # Opened at an embedding, the network takes one more.
                for spec, tensor in zip(loaded.inputs, fed, strict=False)
            ),
            "output": OutputInfo.model_validate(
                {
                    "name": model.output.name,
                    "kind": model.output.kind,
                    "classes": classes,
                    "softmax_cut": model.output.softmax_cut,
                }
            ),
            "parameters": ParameterInfo(
                tensors=len(params),
                count=sum(tensor.numel() for tensor in params.values()),
                excluded=tuple(model.frozen),
                digest=hashlib.sha256(f"{model.format}\n{shapes}".encode()).hexdigest(),
            ),
            "operators": loaded.program.operators,
            "embedding": None if model.opening is None else asdict(model.opening),
            "notes": model.notes,
        }
    )


def _probe_info(probe: Probe, subject: Subject) -> ProbeInfo:
    return ProbeInfo(
        sha256=probe.sha256,
        n=probe.n,
        used=subject.n,
        shape=tuple(subject.x.shape[1:]),
        labels="given" if subject.labels_given else "predicted",
    )


def _coverage(
    model: FunctionalModel, analysed: FunctionalModel, probe: Probe, subject: Subject
) -> tuple[Coverage, ...]:
    entries = []
    if subject.n < probe.n:
        note = f"the first {subject.n} of {probe.n}; raise max_samples for more"
        entries.append(Coverage(subject="probe samples", analysed=False, note=note))
    if analysed.frozen:
        note = f"{len(analysed.frozen)} parameter tensors are held fixed as configured"
        entries.append(Coverage(subject="parameters", analysed=False, note=note))
    if analysed.output.softmax_cut:
        note = "the closing softmax was cut off; measurements are of the logits in front of it"
        entries.append(Coverage(subject=f"output {analysed.output.name}", analysed=True, note=note))
    for position, spec in enumerate(model.inputs):
        if position != subject.position:
            entries.append(_uncovered_input(spec.name, analysed.opening))
    others = [name for index, name in enumerate(model.program.outputs) if index != analysed.output.index]
    entries += [Coverage(subject=f"output {name}", analysed=False, note="not the selected output") for name in others]
    if not subject.labels_given:
        note = "no labels were given; the model's own predictions stand in for them"
        entries.append(Coverage(subject="labels", analysed=False, note=note))
    return tuple(entries)


def _uncovered_input(name: str, opening: Opening | None) -> Coverage:
    if opening is None or name != opening.input:
        return Coverage(subject=f"input {name}", analysed=False, note="held fixed, not differentiated")
    note = f"whole numbers; in their place the output of the embedding {opening.weight!r} is differentiated"
    return Coverage(subject=f"input {name}", analysed=False, note=note)
