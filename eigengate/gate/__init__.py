"""The gate: a policy says what a report must show, ``judge`` whether it does; the verdict is written for CI systems.

Everything here is pure and free of torch: measuring is expensive and happens once, judging is free and can be repeated
under another policy at any time. Reading a policy file is the only contact with the outside world; nothing is printed.
"""

from eigengate.gate._judge import judge
from eigengate.gate.advice import policy_advice
from eigengate.gate.comparability import why_not_comparable
from eigengate.gate.comparison import Comparison, MetricChange, compare_reports
from eigengate.gate.junit import to_junit
from eigengate.gate.markdown import to_markdown
from eigengate.gate.order import worst_first
from eigengate.gate.policy_file import PolicySource, condition_lines, load_policy
from eigengate.gate.presets import PRESETS, preset_text
from eigengate.gate.sarif import to_sarif
from eigengate.gate.starter import starter_policy

__all__ = [
    "PRESETS",
    "Comparison",
    "MetricChange",
    "PolicySource",
    "compare_reports",
    "condition_lines",
    "judge",
    "load_policy",
    "policy_advice",
    "preset_text",
    "starter_policy",
    "to_junit",
    "to_markdown",
    "to_sarif",
    "why_not_comparable",
    "worst_first",
]
