"""One audit's shared state: what several diagnostics need is computed here, at most once."""

from dataclasses import dataclass
from typing import Final, final

import torch

from eigengate.contract import AuditConfig
from eigengate.operators.subject import Subject
from eigengate.sweep.progress import OnProgress, silent

DEFAULT_MEMORY_BUDGET: Final = 2 * 2**30


@final
@dataclass(frozen=True)
class Context:
    """A subject, the configuration, and everything derived from them on first use.

    Attributes:
        subject: The network on its probe set.
        config: What the caller asked for.
        on_progress: Called with (stage, done, total) during long work.
    """

    subject: Subject
    config: AuditConfig
    on_progress: OnProgress = silent

    @property
    def memory_budget_bytes(self) -> int:
        """What chunk sizes are chosen for."""
        return self.config.memory_budget_bytes or DEFAULT_MEMORY_BUDGET

    def generator(self, stream: str) -> torch.Generator:
        """The random stream of that name under the configured seed, on the subject's device."""
        return self.subject.generator(self.config.seed, stream)
