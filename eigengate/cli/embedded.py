"""The whole service in one process: HTTP, a worker and its sweeper, on files in one folder."""

import signal
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final

from eigengate.errors import ServerStartError
from service.audits.repository import AuditRepository
from service.server import Server
from service.settings import Settings
from workers.crew import Crew
from workers.embedded import EmbeddedWorker
from workers.file_lock import FileLock, LockHeldError
from workers.settings import WorkerSettings
from workers.supervisor import CHILD_COMMAND


@final
class EmbeddedServer:
    """Owns its data directory: a second server on it is refused, so whatever is claimed at the start is nobody's."""

    def __init__(self, settings: Settings, command: Sequence[str] = CHILD_COMMAND) -> None:
        self._settings = settings
        self._command = command

    def run(self, on_ready: Callable[[str], None]) -> bool:
        """Serve until a signal says stop; false if a part of the server ended by itself.

        Args:
            on_ready: Called with the server's address once it answers.
        """
        settings = self._settings
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _sole_owner(settings.data_dir), _listening(settings.host, settings.port) as listener:
            crew = Crew(settings, WorkerSettings(grace_s=0, pool="threads"), self._command)
            try:
                return self._serve(crew, listener, on_ready)
            finally:
                crew.close()

    def _serve(self, crew: Crew, listener: socket.socket, on_ready: Callable[[str], None]) -> bool:
        crew.context.database.migrate()
        with crew.context.database.session() as session:
            AuditRepository(session, self._settings.lease_terms).reclaim_all()
        worker = EmbeddedWorker(crew)
        api = _Api(self._settings, listener, on_end=crew.drain.begin)
        signalled = _stop_on_signals(crew.drain.begin)
        try:
            worker.start()
            crew.sweeper.ring_for_all()
            if api.start():
                on_ready(_address(listener))
                crew.drain.wait()
            return signalled.is_set()
        finally:
            api.ask_to_stop()
            worker.stop()
            api.join()


@final
class _Api:
    def __init__(self, settings: Settings, listener: socket.socket, *, on_end: Callable[[], None]) -> None:
        self._server = Server(settings)
        self._listener = listener
        self._on_end = on_end
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)

    def start(self) -> bool:
        """Whether the server came up."""
        self._thread.start()
        while self._thread.is_alive() and not self._server.started:
            self._thread.join(0.02)
        return self._server.started

    def ask_to_stop(self) -> None:
        self._server.should_exit = True

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._listener])
        finally:
            self._on_end()


def _sole_owner(data_dir: Path) -> FileLock:
    try:
        return FileLock(data_dir / "server.lock")
    except LockHeldError:
        raise ServerStartError(
            f"another server is running on {data_dir}", hint="stop it, or give this one another --data-dir"
        ) from None


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ServerStartError(
            f"cannot listen on {host} port {port}: {error.strerror}", hint="choose another --port"
        ) from error


def _address(listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _stop_on_signals(stop: Callable[[], None]) -> threading.Event:
    """Call ``stop`` at the first SIGINT or SIGTERM; the second finds the default action and ends everything at once."""
    signalled = threading.Event()

    def handle(_number: int, _frame: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signalled.set()
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return signalled
