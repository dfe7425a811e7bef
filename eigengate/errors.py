"""Every way Eigengate refuses or fails, as one tree.

    EigengateError
    ├── InputError                  the caller's files or settings cannot be audited (CLI exit 3)
    │   ├── ModelError
    │   │   ├── UnsupportedFormatError     not TorchScript, ONNX or torch.export
    │   │   ├── ModelLoadError             the right format, but it cannot be read
    │   │   ├── UnsupportedOperatorError   nodes we have no pure function for, all listed
    │   │   ├── QuantizedModelError        piecewise constant: derivatives carry no information
    │   │   ├── ModelExecutionError        the model raised while it ran
    │   │   └── NonFiniteOutputError       NaN or infinity on the probe data
    │   ├── ProbeError
    │   │   ├── ProbeFormatError           not .npz, .npy or .safetensors, or pickled
    │   │   ├── ProbeValueError            NaN, infinity, empty, labels out of range
    │   │   └── ShapeMismatchError         probe and model do not fit together
    │   ├── NotDifferentiableError         a derivative the audit needs does not exist
    │   ├── CertificateError               lowered network and original runtime disagree
    │   └── NothingMeasuredError           every quantity that was asked for failed
    ├── ConfigError                 an audit configuration that makes no sense (CLI exit 2)
    │   └── SettingsError              the same of a server's settings
    ├── PolicyError                 a policy file that makes no sense (CLI exit 2)
    └── InfrastructureError         a retry may help (CLI exit 4)
        ├── BudgetExceededError        time or memory limit reached
        ├── MemoryExhaustedError       the machine refused an allocation
        ├── ServiceError               the remote service refused or is gone
        └── ServerStartError           a server of our own cannot start

Each class has a stable ``code``; each instance says what happened (``str``), and what to do (``hint``).
"""

from typing import Any, ClassVar


class EigengateError(Exception):
    """Base of every error that Eigengate raises on purpose.

    Args:
        detail: What happened, with the offending value.
        hint: What the caller can do about it.
        context: JSON-ready facts a program may want, e.g. the list of unsupported nodes.
    """

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong inside Eigengate"
    retriable: ClassVar[bool] = False

    def __init__(self, detail: str, *, hint: str | None = None, context: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.context = context or {}


class InputError(EigengateError, ValueError):
    """The model, the probe data or their combination cannot be audited."""

    code = "input_rejected"
    title = "The input cannot be audited"


class ModelError(InputError):
    """Something is wrong with the model file."""

    code = "model_rejected"
    title = "The model cannot be audited"


class UnsupportedFormatError(ModelError):
    """The bytes are neither TorchScript nor ONNX nor a torch.export archive."""

    code = "unsupported_format"
    title = "The model format is not supported"


class ModelLoadError(ModelError):
    """The format is right, but the file cannot be read."""

    code = "model_load_failed"
    title = "The model file cannot be loaded"


class UnsupportedOperatorError(ModelError):
    """The network uses operators that have no pure function here; all of them are listed in ``context["nodes"]``."""

    code = "unsupported_operator"
    title = "The model uses unsupported operators"


class QuantizedModelError(ModelError):
    """A quantised network is piecewise constant, so its derivatives carry no information."""

    code = "quantized_model"
    title = "Quantised models cannot be differentiated"


class ModelExecutionError(ModelError):
    """The model raised an error while it ran on the probe data."""

    code = "model_execution_failed"
    title = "The model raised an error"


class NonFiniteOutputError(ModelError):
    """The model answers with NaN or infinity on the probe data, so there is nothing to differentiate."""

    code = "non_finite_output"
    title = "The model's output is not finite"


class ProbeError(InputError):
    """Something is wrong with the probe data."""

    code = "probe_rejected"
    title = "The probe data cannot be used"


class ProbeFormatError(ProbeError):
    """The bytes are not a plain .npz, .npy or .safetensors file."""

    code = "probe_format"
    title = "The probe file format is not supported"


class ProbeValueError(ProbeError):
    """The probe data holds values that cannot be measured: NaN, infinity, nothing, impossible labels."""

    code = "probe_values"
    title = "The probe data holds unusable values"


class ShapeMismatchError(ProbeError):
    """The probe data does not fit the model's inputs."""

    code = "shape_mismatch"
    title = "The probe data does not fit the model"


class NotDifferentiableError(InputError):
    """The network has no derivative that the audit needs."""

    code = "not_differentiable"
    title = "The model is not differentiable"


class CertificateError(InputError):
    """The lowered network and the original runtime disagree, so no number would be worth reporting."""

    code = "certificate_failed"
    title = "The lowered model does not match its original runtime"


class NothingMeasuredError(InputError):
    """Every quantity that was asked for failed, so a report would hold nothing; ``context["problems"]`` lists why."""

    code = "nothing_measured"
    title = "Nothing could be measured"


class ConfigError(EigengateError, ValueError):
    """The audit configuration makes no sense."""

    code = "invalid_config"
    title = "The audit configuration is invalid"


class SettingsError(ConfigError):
    """The settings of a server make no sense."""

    code = "invalid_settings"
    title = "The settings are invalid"


class PolicyError(EigengateError, ValueError):
    """The policy file makes no sense."""

    code = "invalid_policy"
    title = "The policy is invalid"


class InfrastructureError(EigengateError, RuntimeError):
    """Not the input's fault; trying again may help."""

    code = "infrastructure"
    title = "The audit could not be run"
    retriable = True


class BudgetExceededError(InfrastructureError):
    """The audit ran out of the time or memory it was given."""

    code = "budget_exceeded"
    title = "The audit ran out of its budget"


class MemoryExhaustedError(InfrastructureError):
    """The machine refused an allocation."""

    code = "out_of_memory"
    title = "The audit ran out of memory"


class ServiceError(InfrastructureError):
    """The remote service refused the request or could not be reached."""

    code = "service_unavailable"
    title = "The Eigengate service could not be reached"


class ServerStartError(InfrastructureError):
    """The server cannot start: its port, its folder or its database cannot be used."""

    code = "cannot_start"
    title = "The server cannot start"
