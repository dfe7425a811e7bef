"""The files that PyTorch makes of one network, and what of them is measured."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, final

import torch
from torch import Tensor, nn

from eigengate import AuditConfig, load_model
from eigengate.diagnostics import Context
from eigengate.diagnostics._base import Findings
from eigengate.diagnostics.input_jacobian import InputJacobian
from eigengate.diagnostics.ntk import NeuralTangentKernel
from eigengate.loading.probe import Probe
from eigengate.operators import HessianOperator, ParameterSpace, Subject
from eigengate.preparation import prepare
from tests.support.eager_network import EagerNetwork
from tests.support.exported_networks import FIXED, FREE, Form, exported
from tests.support.onnx_models import architecture
from tests.support.torch_networks import saved, torchscript

FROM_SCRIPT: Final = ("scripted", "frozen script")
FREE_BATCH: Final = "exported"
FILES: Final[Mapping[str, Callable[[nn.Module, tuple[Tensor, ...]], bytes]]] = {
    "traced": lambda module, batch: torchscript(module, batch, "traced"),
    "traced without gradients": lambda module, batch: torchscript(module, batch, "traced_inference"),
    "scripted": lambda module, batch: torchscript(module, batch, "scripted"),
    "frozen trace": lambda module, batch: saved(torch.jit.freeze(torch.jit.trace(module, batch, check_trace=False))),
    "frozen script": lambda module, batch: torchscript(module, batch, "frozen"),
    "exported": lambda module, batch: exported(module, batch, FREE),
    "exported for one batch size": lambda module, batch: exported(module, batch, FIXED),
    "exported strictly": lambda module, batch: exported(module, batch, Form(strict=True, dynamic=False)),
}
UNSCRIPTABLE: Final[Mapping[str, str]] = {
    "convnext": "'Tensor' object has no attribute or method 'forward'",  # super() in a forward method
    "swin": "Only a single generator is currently supported",
    "tabular": "cannot statically infer the expected size of a list",
    "tcn": "Parametrization is not working with scripting",  # said when it runs: it compiles
}
ONE_BATCH_SIZE: Final[Mapping[str, str]] = {
    "image_and_table": "specialized it to be a constant",  # by einsum with three operands
}
# One network of each family: a strict export takes longest, and its graphs have nothing that others have not.
STRICTLY: Final = ("resnet", "mobilenet_v3", "vit", "unet", "lstm", "tabular", "graph_attention")
CONFIG: Final = AuditConfig(quantities=("input_jacobian", "ntk"), device="cpu")


def forms_of(name: str) -> tuple[str, ...]:
    """The forms in which a network can be saved."""
    left_out = {*(FROM_SCRIPT if name in UNSCRIPTABLE else ())}
    left_out.update(() if name in STRICTLY else ("exported strictly",))
    left_out.add(FREE_BATCH if name in ONE_BATCH_SIZE else "exported for one batch size")
    return tuple(form for form in FILES if form not in left_out)


def file_of(name: str, form: str) -> bytes:
    """The network in that form, made with a batch of two where a batch is needed; it is measured on three samples."""
    module, inputs = architecture(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes that a trace keeps, and of what PyTorch calls deprecated
        return FILES[form](module, tuple(tensor[:2] for tensor in inputs))


@cache
def eager_network(name: str) -> EagerNetwork:
    """What every form is compared with, in double precision; up to a closing softmax, which an audit cuts off."""
    module, inputs = architecture(name)
    logits = module[:-1] if isinstance(module, nn.Sequential) and isinstance(module[-1], nn.Softmax) else module
    return EagerNetwork.of(logits, inputs)


@final
@dataclass(frozen=True)
class Variant:
    """One file of a network, loaded and measured in single precision, as an audit does it.

    Args:
        input_jacobian: The findings on input Jacobians.
        kernel: The findings on tangent kernels.
        subject: What was measured.
        own_names: By the network's parameter, what the file calls it; None if its parameters are others.
    """

    input_jacobian: Findings
    kernel: Findings
    subject: Subject
    own_names: Mapping[str, str] | None

    def hessian_times(self, directions: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """H V by the network's parameter names, for V given by them."""
        assert self.own_names is not None
        space = ParameterSpace.of(self.subject.params)
        V = {own: directions[name].float().reshape(2, -1) for name, own in self.own_names.items()}
        HV = HessianOperator.of(self.subject) @ torch.cat([V[own] for own in space.shapes], 1).T
        rows = dict(zip(space.sizes, HV.T.split(list(space.sizes.values()), 1), strict=True))
        return {name: rows[own].double().reshape(directions[name].shape) for name, own in self.own_names.items()}


@cache
def variant(name: str, form: str) -> Variant:
    eager, model = eager_network(name), load_model(file_of(name, form))
    arrays = {spec.name: tensor for spec, tensor in zip(model.inputs, architecture(name)[1], strict=True)}
    subject = prepare(model, Probe(arrays, eager.y, "0" * 64), CONFIG).subject
    context = Context(subject=subject, config=CONFIG)
    return Variant(
        InputJacobian().measure(context),
        NeuralTangentKernel().measure(context),
        subject,
        _own_names(dict(architecture(name)[0].named_parameters()), subject.params),
    )


def _own_names(network: Mapping[str, Tensor], file: Mapping[str, Tensor]) -> Mapping[str, str] | None:
    """Which tensor of the file each of the network's parameters is: the one with its numbers."""
    names = {
        name: own
        for name, tensor in network.items()
        for own, stored in file.items()
        if torch.equal(tensor, stored)
    }  # fmt: skip
    return names if set(names) == set(network) and sorted(names.values()) == sorted(file) else None
