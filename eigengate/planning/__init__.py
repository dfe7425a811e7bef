"""Before anything is measured: what it would cost, and which route to take within the budget."""

from eigengate.planning.hessian_budget import hessian_effort, products_of
from eigengate.planning.layer_budget import is_written_out, layer_effort, layer_products
from eigengate.planning.planner import DEFAULT_MEMORY_BUDGET, Plan, plan
from eigengate.planning.throughput import measured_throughput
from eigengate.planning.workload import Workload

__all__ = [
    "DEFAULT_MEMORY_BUDGET",
    "Plan",
    "Workload",
    "hessian_effort",
    "is_written_out",
    "layer_effort",
    "layer_products",
    "measured_throughput",
    "plan",
    "products_of",
]
