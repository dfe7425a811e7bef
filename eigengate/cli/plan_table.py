"""A plan as a table for a terminal."""

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from eigengate.cli.terminal import plain
from eigengate.contract import AuditPlan, PlannedStep


def plan_table(plan: AuditPlan) -> Group:
    """What is going to be done for every quantity, and what that takes."""
    table = Table(title="Plan", title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=0)
    table.add_column("Quantities", overflow="fold", ratio=2)
    table.add_column("Route", overflow="fold", ratio=3)
    for heading in ("Samples", "Passes", "Operations", "Memory", "Time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for step in plan.steps:
        table.add_row(*map(plain, _cells(step)))
    return Group(table, plain(_footer(plan), "dim"))


def _cells(step: PlannedStep) -> tuple[str, ...]:
    exact = " (exact)" if step.exact else ""
    time = "" if step.seconds is None else _seconds(step.seconds)
    size = f"{step.bytes / 2**20:,.0f} MiB"
    return step.quantity, step.route + exact, str(step.samples), f"{step.passes:,}", f"{step.flops:.1e}", size, time


def _footer(plan: AuditPlan) -> str:
    budget = f"Budget {plan.budget_flops:.1e} operations, {plan.budget_bytes / 2**20:,.0f} MiB"
    if plan.flops_per_second is None:
        return f"{budget}."
    return (
        f"{budget}; this machine does {plan.flops_per_second:.1e} a second on this network. "
        "time_budget_s and memory_budget_bytes in the configuration set the budget."
    )


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return "< 1 s"
    return f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"
