"""One child process from start to end: started, listened to, kept within its bounds, never outliving us."""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, final

from eigengate.contract import AuditError
from workers.exits import Breach, Exit
from workers.lines import LineSplitter, Tail
from workers.oom import oom_kills
from workers.protocol import MAX_LINE_BYTES, ChildEvent, Failure, parse_line
from workers.redaction import Redactor
from workers.sandbox.limits import Limits

TICK_S = 0.05
READ_BYTES = 1 << 16
MAX_EVENT_BYTES = 16 << 20
LOG_BYTES = 64 << 10

_ROOT = Path(__file__).resolve().parent.parent
_PAGE = os.sysconf("SC_PAGE_SIZE")

# ``-I``: neither the environment nor the working directory, which is the job's, may put modules in our way.
CHILD_COMMAND: tuple[str, ...] = (
    sys.executable,
    "-I",
    "-B",
    "-X",
    "faulthandler",
    "-c",
    f"import sys; sys.path.append({str(_ROOT)!r}); from workers.sandbox.child import main; main()",
)


def supervise(
    command: Sequence[str],
    *,
    directory: Path,
    environment: dict[str, str],
    limits: Limits,
    on_event: Callable[[ChildEvent], None],
    must_stop: Callable[[], bool],
) -> Exit:
    """Run ``command`` to its end, in this thread: the kernel kills the child with the thread that started it.

    Neither ``on_event`` nor ``must_stop`` may block, or the limits are not watched meanwhile.
    """
    process = subprocess.Popen(  # noqa: S603  the command is ours; the child's data are files
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=directory,
        env=environment,
        close_fds=True,
        start_new_session=True,
    )
    try:
        return _Supervision(process, limits, Redactor(directory), on_event).until_the_end(must_stop)
    finally:
        _kill_group(process)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait()


@final
class _Supervision:
    def __init__(
        self,
        process: subprocess.Popen[bytes],
        limits: Limits,
        redact: Callable[[bytes], bytes],
        on_event: Callable[[ChildEvent], None],
    ) -> None:
        self._process = process
        self._limits = limits
        self._redact = redact
        self._on_event = on_event
        self._deadline = time.monotonic() + limits.wall_s
        self._oom_kills = oom_kills()
        self._lines = LineSplitter(MAX_LINE_BYTES)
        self._log = Tail(LOG_BYTES)
        self._event_bytes = 0
        self._peak = 0
        self._failure: AuditError | None = None
        self._selector = selectors.DefaultSelector()
        for pipe, hear in ((process.stdout, self._hear_events), (process.stderr, self._log.feed)):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, hear)

    def until_the_end(self, must_stop: Callable[[], bool]) -> Exit:
        breach = None
        with self._selector:
            while breach is None and not _has_ended(self._process):
                self._listen(TICK_S)
                breach = self._breach(must_stop)
            _kill_group(self._process)  # also what the child may have left behind
            status = self._process.wait()
            if breach is None:
                self._drain()
        return Exit(
            status=status,
            breach=breach,
            failure=self._failure,
            log=self._log.text(),
            oom_killed=oom_kills() > self._oom_kills,
            peak_bytes=self._peak,
        )

    def _breach(self, must_stop: Callable[[], bool]) -> Breach | None:
        resident = _resident_bytes(self._process.pid)
        self._peak = max(self._peak, resident)
        if resident > self._limits.memory_bytes:
            return "out_of_memory"
        if time.monotonic() > self._deadline:
            return "timeout"
        if self._event_bytes > MAX_EVENT_BYTES:
            return "events_too_large"
        return "told_to_stop" if must_stop() else None

    def _listen(self, timeout: float) -> bool:
        """Read once from every pipe that has something; False if none had."""
        if not self._selector.get_map():
            time.sleep(timeout)
            return False
        ready = self._selector.select(timeout)
        for key, _ in ready:
            self._read(key)
        return bool(ready)

    def _read(self, key: selectors.SelectorKey) -> None:
        pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]
        if data := os.read(pipe.fileno(), READ_BYTES):
            key.data(data)
        else:
            self._selector.unregister(pipe)

    def _drain(self) -> None:
        """Read what the child left in its pipes; not for ever, should something that escaped still write."""
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline and self._listen(0):
            pass

    def _hear_events(self, data: bytes) -> None:
        self._event_bytes += len(data)
        for line in self._lines.feed(data):
            match parse_line(self._redact(line)):
                case None:
                    self._log.feed(b"[not an event] " + line[:200] + b"\n")
                case Failure() as failure:
                    self._failure = failure.as_error()
                case event:
                    self._on_event(event)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    if sys.platform == "darwin":  # has no waitid before Python 3.13
        return process.poll() is not None
    # Not reaped yet, so that the process id, and the group's, cannot be another's when the group is killed.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        # PermissionError is what macOS answers for a group of zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0  # gone, or no /proc here: the kernel's own limits remain
