"""The one task: a bell rang for an audit."""

from collections.abc import Callable

from celery import Celery

from service.queue import TASK


def register(app: Celery, run: Callable[[str], None]) -> None:
    """Let ``app`` answer the service's bell by calling ``run`` with the audit's id."""

    def run_audit(audit_id: str) -> None:
        run(audit_id)

    app.task(name=TASK, ignore_result=True)(run_audit)
