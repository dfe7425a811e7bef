"""What an audit is going to do, decided before it does it."""

from collections.abc import Mapping
from typing import Annotated, final

from pydantic import Field

from eigengate.contract.base import Contract, Items


@final
class PlannedStep(Contract):
    """One quantity, the route to it, and what that is expected to cost.

    ``passes`` counts backward passes over all its samples, or products with the matrix; ``flops`` are multiplications
    and additions; ``seconds`` is given where the speed of the machine was measured, ``spent_seconds`` once it is done.
    """

    quantity: str
    route: str
    exact: bool
    samples: int
    passes: int
    flops: float
    bytes: int
    seconds: float | None = None
    spent_seconds: float | None = None


@final
class AuditPlan(Contract):
    """How the work was cut to the budget; the same model, probe, configuration and budget give the same plan.

    ``flops_per_second`` is null unless ``time_budget_s`` was given or a plan was asked for.
    """

    budget_flops: Annotated[float, Field(gt=0)]
    budget_bytes: Annotated[int, Field(gt=0)]
    flops_per_second: float | None
    steps: Items[PlannedStep]

    def after(self, seconds: Mapping[str, float]) -> "AuditPlan":
        """With what every step took, from the seconds of the quantities in it.

        The first step is what ``model`` needs too: its forward pass begins the sweep, which makes everything at once.
        """
        if not self.steps:
            return self
        names = [step.quantity.split(", ") for step in self.steps]
        taken = [sum(seconds.get(name, 0.0) for name in step) for step in [["model", *names[0]], *names[1:]]]
        steps = zip(self.steps, taken, strict=True)
        return self.model_copy(
            update={"steps": tuple(step.model_copy(update={"spent_seconds": t}) for step, t in steps)}
        )
