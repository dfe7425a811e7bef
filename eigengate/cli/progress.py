"""Live progress of an audit in the terminal, from its events."""

from types import TracebackType
from typing import Self, final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from eigengate.contract import AuditEvent, LogEvent, ProgressEvent, StageEvent


@final
class ProgressDisplay:
    """One line per stage: its name, a bar where steps are known, and the time it took.

    Without a terminal (in CI logs) it prints one plain line per stage instead.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[steps]:>9}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish_stage()
        if self._console.is_terminal:
            self._progress.stop()

    def __call__(self, event: AuditEvent) -> None:
        if isinstance(event, StageEvent):
            self._begin(event.stage)
        elif isinstance(event, ProgressEvent) and self._task is not None:
            steps = f"{event.done}/{event.total}"
            self._progress.update(self._task, completed=event.done, total=event.total, steps=steps)
        elif isinstance(event, LogEvent):
            self._console.print(event.message, markup=False, style="dim")

    def _begin(self, stage: str) -> None:
        self._finish_stage()
        self._task = self._progress.add_task(stage.replace("_", " "), total=None, steps="")
        if not self._console.is_terminal:
            self._console.print(f"· {stage.replace('_', ' ')}", markup=False)

    def _finish_stage(self) -> None:
        if self._task is not None:
            task = self._progress.tasks[self._progress.task_ids.index(self._task)]
            total = task.total or 1
            self._progress.update(self._task, completed=total, total=total)
