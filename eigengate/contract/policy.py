"""What a team demands of a report before a model may ship."""

from datetime import date
from typing import Annotated, Literal, final

from pydantic import Field, model_validator

from eigengate.contract.base import Contract, Items

Level = Literal["error", "warn", "info", "off"]
Operator = Literal["<=", "<", ">=", ">"]
Reduce = Literal["value", "mean", "std", "min", "p05", "median", "p95", "max"]


@final
class BaselineRule(Contract):
    """How much a metric may change against the baseline; every limit given must be exceeded for the condition to fail.

    ``beyond_noise`` is the number of half-widths of the combined intervals that the change must exceed to count; a
    change beyond the limits but not beyond the noise is indeterminate.
    """

    max_relative_increase: Annotated[float | None, Field(ge=0)] = None
    max_absolute_increase: Annotated[float | None, Field(ge=0)] = None
    max_relative_decrease: Annotated[float | None, Field(ge=0)] = None
    max_absolute_decrease: Annotated[float | None, Field(ge=0)] = None
    beyond_noise: Annotated[float, Field(ge=0)] = 1.0

    @model_validator(mode="after")
    def _some_limit(self) -> "BaselineRule":
        increase = self.max_relative_increase is not None or self.max_absolute_increase is not None
        decrease = self.max_relative_decrease is not None or self.max_absolute_decrease is not None
        if increase == decrease:
            raise ValueError(
                "a baseline rule limits either increases or decreases: give max_*_increase or max_*_decrease"
            )
        return self


@final
class Condition(Contract):
    """One demand: a threshold on a metric, or a limit on its change against a baseline."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)]
    metric: Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)+$", max_length=128)]
    reduce: Reduce = "value"
    op: Operator | None = None
    threshold: float | None = None
    use: Annotated[
        Literal["pessimistic", "upper", "lower", "point"],
        Field(description="Which end of the error interval is compared; pessimistic is the one less likely to pass."),
    ] = "pessimistic"
    sampling: Annotated[bool, Field(description="Count the sampling interval too, not only the numerical one.")] = False
    level: Level = "error"
    on_missing: Literal["fail", "warn", "skip"] = "fail"
    min_samples: Annotated[int, Field(ge=1)] = 1
    baseline: BaselineRule | None = None
    advice: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Condition":
        threshold = self.op is not None and self.threshold is not None
        if (self.op is None) != (self.threshold is None):
            raise ValueError("op and threshold go together")
        if threshold == (self.baseline is not None):
            raise ValueError("give either op and threshold, or a baseline rule")
        return self

    @model_validator(mode="after")
    def _error_is_known(self) -> "Condition":
        if self.sampling and self.reduce not in ("value", "mean"):
            raise ValueError(f"sampling intervals are known for the mean only, not for {self.reduce}")
        return self


@final
class BaselineSource(Contract):
    """Where the report to compare with comes from, and what happens if there is none."""

    ref: Annotated[
        str | None, Field(pattern=r"^file:.+", description="file:PATH, relative to the folder of the policy.")
    ] = None
    if_none: Literal["fail", "warn", "skip"] = "fail"


@final
class Waiver(Contract):
    """A named person accepts a failing condition for a reason, until a day."""

    condition: str
    reason: Annotated[str, Field(min_length=1)]
    owner: Annotated[str, Field(min_length=1)]
    expires: Annotated[date, Field(strict=False)]


@final
class Policy(Contract):
    """Conditions and waivers.

    ``extends`` names a preset whose conditions come first. A condition with the id of a preset's condition replaces
    it, or, if it names no metric, refines it. ``load_policy`` resolves all that and leaves ``extends`` null.
    """

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    extends: str | None = None
    mode: Literal["enforce", "inspect"] = "enforce"
    condition: Items[Condition] = ()
    baseline: BaselineSource = BaselineSource()
    waiver: Items[Waiver] = ()

    @model_validator(mode="after")
    def _unique_and_known(self) -> "Policy":
        ids = [condition.id for condition in self.condition]
        if repeated := sorted({i for i in ids if ids.count(i) > 1}):
            raise ValueError(f"condition ids must be unique, repeated: {repeated}")
        return self
