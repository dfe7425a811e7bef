"""Read a TorchScript file: container, text, module, program."""

import copy
import io
import warnings

import torch
from torch import Tensor

from eigengate.errors import EigengateError, ModelLoadError
from eigengate.loading.program import Lowered
from eigengate.loading.torchscript.archive import open_archive
from eigengate.loading.torchscript.evaluation import enter_evaluation
from eigengate.loading.torchscript.ir import Network
from eigengate.loading.torchscript.lift import lift
from eigengate.loading.torchscript.no_gradients import GRAD_MODE, with_gradients
from eigengate.loading.torchscript.precision import Precision
from eigengate.loading.torchscript.program import Source, TorchScriptProgram
from eigengate.loading.torchscript.rebatching import opened
from eigengate.loading.torchscript.remarks import DETACHED, remarks_of
from eigengate.loading.torchscript.roles import trainable_constants
from eigengate.loading.torchscript.runtime import TorchScriptRuntime
from eigengate.loading.torchscript.signature import common_type, inputs_of, outputs_of
from eigengate.loading.torchscript.silencing import silence
from eigengate.loading.torchscript.state import changed_state
from eigengate.loading.torchscript.undoing import undo
from eigengate.loading.torchscript.vet import vet, vet_graphs


def read_torchscript(data: bytes) -> Lowered:
    """Lower a TorchScript archive.

    Raises:
        UnsupportedFormatError: Not a TorchScript archive.
        ModelLoadError: It cannot be read, or it would run code while loading.
        UnsupportedOperatorError: Some nodes have no pure function; all are listed.
        QuantizedModelError: The network is quantised.
    """
    archive = open_archive(data)
    vet(archive)
    module = _load(archive.repacked())
    detached = GRAD_MODE in archive.members and with_gradients(module)
    vet_graphs(module)
    remarks = (*enter_evaluation(module), *([DETACHED] if detached else []))
    try:
        program = lower(module, archive.traced_inputs, remarks)
    except EigengateError:
        raise
    except Exception as error:
        raise ModelLoadError(f"The TorchScript graph cannot be lowered: {type(error).__name__}: {error}") from error
    taken = copy.deepcopy if program.is_stateful else _itself
    runtime = TorchScriptRuntime(module, taken, program.original_batch, is_random=bool(program.drawing))
    return Lowered(program, runtime, batching=program.batching)


def lower(
    module: torch.jit.ScriptModule, traced_inputs: bytes | None = None, remarks: tuple[str, ...] = ()
) -> TorchScriptProgram:
    """Lower a loaded module in evaluation mode.

    Args:
        module: The module; its graphs are changed.
        traced_inputs: The archive's record of its example inputs.
        remarks: What a reader of the report must know of the module beside what its graph shows.
    """
    undone = undo(module)
    network = lift(module)
    silence(module)
    # torch.jit.freeze removes the attribute that every other module has.
    frozen = not module._c.hasattr("training")
    parameters = {name: parameter.detach() for name, parameter in module.named_parameters()}
    if frozen:
        parameters |= _named_constants(network)
    network.floating = common_type(parameters.values())
    names = [argument.name for argument in module._c._get_method("forward").schema.arguments[1:]]
    changed = changed_state(network)
    found = remarks_of(network, frozen=frozen, changed=changed, undone=undone)
    source = Source(
        network=network,
        parameters=parameters,
        inputs=inputs_of(network, tuple(names[: len(network.body.parameters)]), traced_inputs, parameters.values()),
        outputs=outputs_of(network),
        notes=tuple(dict.fromkeys([*remarks, *found])),
        changed=changed,
    )
    program = TorchScriptProgram(source, Precision(torch.device("cpu")))
    return opened(program) if traced_inputs is not None else program


def _named_constants(network: Network) -> dict[str, Tensor]:
    """The trainable constants of a frozen network by the names they are given; they become its parameters."""
    named = trainable_constants(network)
    for value, (name, _) in named.items():
        network.parameters[value] = name
        del network.buffers[value]
    return dict(named.values())


def _itself(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    return module


def _load(data: bytes) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        # We read what users still export; new models may come as ONNX.
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        try:
            module: torch.jit.ScriptModule = torch.jit.load(  # type: ignore[no-untyped-call]
                io.BytesIO(data), map_location="cpu"
            )
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise ModelLoadError(f"PyTorch cannot load the TorchScript archive: {reason[0][:300]}") from error
    if not hasattr(module, "forward"):
        raise ModelLoadError("The TorchScript module has no forward method")
    return module
