"""An ``eigengate serve`` in a process of its own."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.support.processes import until

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "EIGENGATE_WORKER_THREADS": "1",
    "EIGENGATE_MIN_FREE_BYTES": "0",
    "EIGENGATE_SWEEP_SECONDS": "0.5",
}

SERVE = """
import sys
sys.path.insert(0, {root!r})
from eigengate.cli.main import app
app()
"""

# The embedded server with a stand-in for the child, which runs the uploaded "model" as a script.
SERVE_STAND_IN = """
import logging, sys
from pathlib import Path
sys.path.insert(0, {root!r})
logging.basicConfig(level=logging.INFO)
from eigengate.cli.embedded import EmbeddedServer
from service.settings import Settings
from tests.support.bench import STAND_IN
settings = Settings(data_dir=Path(sys.argv[sys.argv.index("--data-dir") + 1]), port=0)
stopped = EmbeddedServer(settings, STAND_IN).run(lambda address: print(address, flush=True))
sys.exit(0 if stopped else 4)
"""


class Server:
    """A running server; ``log`` is everything it said on stderr."""

    def __init__(self, process: subprocess.Popen, log: Path, address: str) -> None:
        self.process = process
        self.log = log
        self.address = address

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.address + path, timeout=30)

    def kill(self) -> None:
        """As the kernel would: no farewell."""
        self.process.kill()
        self.process.wait()

    def terminate(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@contextlib.contextmanager
def serving(data_dir: Path, *arguments: str, program: str = SERVE_STAND_IN, **environment: str) -> Iterator[Server]:
    log = data_dir.with_suffix(".log")
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", program.format(root=str(ROOT)), *arguments, "--data-dir", str(data_dir)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, **SETTINGS, **environment},
        )
    with process:
        assert process.stdout is not None
        try:
            address = None
            for line in process.stdout:
                if address := re.search(r"http://\S+", line):
                    break
            assert address is not None, log.read_text()
            yield Server(process, log, address.group())
        finally:
            process.kill()


def finished(server: Server, audit_id: str, *, within: float = 60) -> dict:
    """The audit, once it is over."""

    def over() -> dict | None:
        audit = server.get(f"/v1/audits/{audit_id}").json()
        return audit if audit["finished_at"] else None

    return until(over, what=f"{audit_id} to finish", within=within)
