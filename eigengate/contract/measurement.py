"""One number of a report, with what it means, how it was made and how far it can be trusted."""

from typing import Annotated, Literal, final

from pydantic import Field, model_validator

from eigengate.contract.base import Contract

Direction = Literal["lower_is_stabler", "higher_is_stabler", "neutral"]
Outcome = Literal["ok", "not_converged", "not_applicable", "non_finite", "out_of_budget"]


@final
class Interval(Contract):
    """A confidence interval; ``level`` is its coverage, 1.0 for a proven bound."""

    low: float
    high: float
    level: Annotated[float, Field(gt=0, le=1)] = 0.95

    @model_validator(mode="after")
    def _ordered(self) -> "Interval":
        if self.low > self.high:
            raise ValueError(f"an interval needs low <= high, got [{self.low}, {self.high}]")
        return self


@final
class ErrorBars(Contract):
    """Two kinds of error, never mixed: how well we computed, and how much the probe set stands for."""

    numerical: Interval | None = None
    sampling: Interval | None = None


@final
class Summary(Contract):
    """A per-sample quantity over the probe set."""

    mean: float
    std: float
    min: float
    p05: float
    median: float
    p95: float
    max: float
    n: Annotated[int, Field(ge=1)]


@final
class Measurement(Contract):
    """A named value with unit, direction, method and both kinds of error.

    ``value`` is null exactly when ``outcome`` says why; a null never passes a gate. For per-sample quantities
    ``value`` is the mean and ``summary`` the rest.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)+$", max_length=128)]
    value: float | None
    unit: str = ""
    direction: Direction = "neutral"
    outcome: Outcome = "ok"
    method: str = ""
    exact: bool = False
    error: ErrorBars = ErrorBars()
    summary: Summary | None = None
    detail: str | None = None

    @model_validator(mode="after")
    def _null_is_explained(self) -> "Measurement":
        if self.value is None and self.outcome == "ok":
            raise ValueError(f"{self.name}: a null value needs an outcome that explains it")
        return self
