"""Before anything is measured: what it would cost, and which route to take within the budget."""

from eigengate.planning.hessian_budget import HessianBudget
from eigengate.planning.planner import DEFAULT_MEMORY_BUDGET, Plan, plan
from eigengate.planning.throughput import measured_throughput
from eigengate.planning.workload import Workload

__all__ = ["DEFAULT_MEMORY_BUDGET", "HessianBudget", "Plan", "Workload", "measured_throughput", "plan"]
