"""What the caller wants measured, and how."""

from typing import Annotated, Any, Literal, final, get_args

from pydantic import Field, field_validator, model_validator

from eigengate.contract.base import Contract, Items

Quantity = Literal["input_jacobian", "parameter_jacobian", "ntk", "gauss_newton", "hessian", "attribution"]
Component = Literal["forward", "parameter", "training", "curvature"]
COMPONENTS: tuple[Component, ...] = get_args(Component)
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)


@final
class OutputConfig(Contract):
    """Which output is analysed, and what it means."""

    select: Annotated[str | int | None, Field(description="Name or index of the output; default: the first one.")] = (
        None
    )
    kind: Literal["auto", "logits", "probabilities", "regression"] = "auto"
    cut_softmax: Annotated[bool, Field(description="Analyse the logits in front of a closing softmax.")] = True


@final
class ParameterConfig(Contract):
    """Which parameters count as trainable, by glob over their names; exclusion wins."""

    include: Items[str] = ("*",)
    exclude: Items[str] = ()


@final
class AttributionConfig(Contract):
    """How attribution robustness is measured (design section 6)."""

    methods: Annotated[Items[Literal["saliency", "integrated_gradients", "smoothgrad"]], Field(min_length=1)] = (
        "saliency",
        "integrated_gradients",
        "smoothgrad",
    )
    noise_sizes: Annotated[
        Items[Annotated[float, Field(gt=0, le=10)]],
        Field(min_length=2, max_length=32, description="Noise sizes relative to the spread of the probe data, rising."),
    ] = (0.01, 0.02, 0.05, 0.1, 0.2)
    draws: Annotated[int, Field(ge=1, le=1000, description="Perturbed copies per sample and noise size.")] = 4
    attack: Annotated[bool, Field(description="Also search for the worst perturbation. Not available yet.")] = False

    @field_validator("noise_sizes")
    @classmethod
    def _rising(cls, sizes: tuple[float, ...]) -> tuple[float, ...]:
        if list(sizes) != sorted(set(sizes)):
            raise ValueError(f"noise_sizes must rise strictly, got {list(sizes)}")
        return sizes

    @field_validator("attack")
    @classmethod
    def _no_attack_yet(cls, attack: bool) -> bool:
        if attack:
            raise ValueError("attribution.attack is not available in this version; leave it false")
        return attack


@final
class HessianConfig(Contract):
    """What is measured of the loss Hessian beyond the whole of it."""

    per_layer: Annotated[
        bool,
        Field(
            description="Also λ_max, λ_min and trace of every layer's diagonal block. A layer takes up to 22 products "
            "with the Hessian even where the budget has no room for them, and up to 288 where it has."
        ),
    ] = False


@final
class IndexConfig(Contract):
    """Weights of the stability index and which of its components may be missing."""

    weights: dict[Component, Annotated[float, Field(ge=0)]] = Field(
        default_factory=lambda: dict.fromkeys(COMPONENTS, 1.0)
    )
    optional: Items[Component] = ()

    @field_validator("weights")
    @classmethod
    def _some_weight(cls, weights: dict[str, float]) -> dict[str, float]:
        if sum(weights.values()) <= 0:
            raise ValueError("index.weights must have a positive sum")
        return weights


@final
class AuditConfig(Contract):
    """Everything a caller may choose about an audit; the defaults measure everything."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    precision: Literal["float32", "float64"] = "float32"
    loss: Literal["auto", "cross_entropy", "squared_error"] = "auto"
    output: OutputConfig = OutputConfig()
    quantities: Items[Quantity] = QUANTITIES
    max_samples: Annotated[int, Field(ge=2, le=100_000, description="Probe samples used; the first ones.")] = 64
    accuracy: Annotated[float, Field(gt=0, lt=1, description="Relative accuracy iterative estimators aim for.")] = 1e-3
    time_budget_s: Annotated[float | None, Field(gt=0, description="What the planner aims for.")] = None
    time_limit_s: Annotated[float | None, Field(gt=0, le=86_400, description="Hard limit: the audit is stopped.")] = (
        None
    )
    memory_budget_bytes: Annotated[int | None, Field(ge=2**20, description="What chunk sizes are chosen for.")] = None
    parameters: ParameterConfig = ParameterConfig()
    attribution: AttributionConfig = AttributionConfig()
    hessian: HessianConfig = HessianConfig()
    index: IndexConfig = IndexConfig()

    @field_validator("quantities")
    @classmethod
    def _each_once(cls, quantities: tuple[Quantity, ...]) -> tuple[Quantity, ...]:
        if not quantities or len(set(quantities)) != len(quantities):
            raise ValueError(f"quantities must name at least one quantity, each once, got {list(quantities)}")
        return quantities

    @model_validator(mode="after")
    def _layers_of_something(self) -> "AuditConfig":
        if self.hessian.per_layer and "hessian" not in self.quantities:
            raise ValueError('hessian.per_layer needs "hessian" among the quantities')
        return self

    @model_validator(mode="before")
    @classmethod
    def _a_table(cls, value: Any) -> Any:
        if isinstance(value, list | str | int | float):
            raise ValueError(f"an audit configuration is a table of settings, got {type(value).__name__}")
        return value
