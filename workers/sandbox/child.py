"""One audit in a process of its own: read the request, run the audit, leave the report.

The working directory is the job directory and the only thing this process is given: ``request.json``, ``config.json``,
``model`` and ``probe`` to read, ``report.json`` to write. Events go out as JSON lines.
"""

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from workers.sandbox.jail import enter
from workers.sandbox.limits import Limits

if TYPE_CHECKING:
    from eigengate.contract.base import Contract

Say = Callable[["Contract"], None]


def main() -> None:
    """Run the audit in the working directory, and leave without the farewells of native libraries."""
    request = json.loads(Path("request.json").read_text(encoding="utf-8"))
    enter(Limits.from_json(request["limits"]), parent=request["parent"])
    say = _take_stdout()
    status = _attempt(say)
    sys.stdout.flush()
    sys.stderr.flush()
    # Interpreter and library teardown can crash after all is done; there is nothing left to save.
    os._exit(status)


def _take_stdout() -> Say:
    """Keep standard output for events alone; whatever a library prints from now on lands in the log."""
    channel = os.dup(1)
    os.dup2(2, 1)

    def say(message: "Contract") -> None:
        line = message.model_dump_json().encode() + b"\n"
        while line:
            line = line[os.write(channel, line) :]

    return say


def _attempt(say: Say) -> int:
    try:
        _audit(say)
    except BaseException as error:  # whatever it was, the caller is owed a reason
        from workers.sandbox.explanation import explain

        traceback.print_exc()
        say(_too_large() if isinstance(error, OSError) and error.errno == errno.EFBIG else explain(error))
        return 1
    return 0


def _audit(say: Say) -> None:
    import eigengate
    from eigengate.contract import AuditConfig, StageEvent

    config = AuditConfig.model_validate_json(Path("config.json").read_bytes())
    say(StageEvent(stage="loading"))
    model = eigengate.load_model(Path("model").read_bytes())
    probe = eigengate.load_probe(Path("probe").read_bytes())
    report = eigengate.audit(model, probe, config, on_event=say)
    # Renamed into place, so that a report that is there is a whole one.
    Path("report.part").write_text(report.model_dump_json(), encoding="utf-8")
    Path("report.part").rename("report.json")


def _too_large() -> "Contract":
    from workers.protocol import Failure

    return Failure(
        code="output_too_large",
        title="The audit wrote too much",
        detail="The report is larger than this worker accepts.",
        hint="Lower max_samples or ask for fewer quantities.",
    )
