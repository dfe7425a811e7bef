"""The supervisor against children that behave as badly as children can, and how each end is classified."""

import os
import signal
import sys
import textwrap
import threading
import time

import pytest

from tests.support.processes import is_gone
from workers.exits import Exit, failure_of
from workers.protocol import MAX_LINE_BYTES
from workers.sandbox.environment import clean_environment
from workers.sandbox.limits import Limits
from workers.supervisor import MAX_EVENT_BYTES, supervise

LIMITS = Limits(wall_s=20, cpu_s=30, memory_bytes=1 << 30, data_bytes=None, file_bytes=1 << 20)


def run(script, directory, *, limits=LIMITS, must_stop=lambda: False, environ=None):
    events = []
    end = supervise(
        [sys.executable, "-I", "-S", "-c", textwrap.dedent(script)],
        directory=directory,
        environment=clean_environment(environ or {}, job_dir=directory, threads=1),
        limits=limits,
        on_event=events.append,
        must_stop=must_stop,
    )
    return end, events


def code(end: Exit, limits: Limits = LIMITS) -> str | None:
    failure = failure_of(end, limits, max_event_bytes=MAX_EVENT_BYTES)
    return failure.code if failure else None


def test_events_arrive_in_order_and_a_clean_exit_is_no_failure(tmp_path):
    end, events = run(
        """
        print('{"kind": "stage", "stage": "loading"}')
        print('{"kind": "progress", "stage": "sweep", "done": 1, "total": 3}')
        print('{"kind": "log", "message": "hello"}', end="")
        print()
        """,
        tmp_path,
    )
    assert [event.kind for event in events] == ["stage", "progress", "log"]
    assert code(end) is None


def test_a_failure_line_is_the_reason_whatever_the_exit_status(tmp_path):
    line = '{"kind": "failed", "code": "shape_mismatch", "title": "t", "detail": "d", "hint": "h", "retriable": false}'
    end, _ = run(f"print('{line}'); raise SystemExit(1)", tmp_path)
    failure = failure_of(end, LIMITS, max_event_bytes=MAX_EVENT_BYTES)
    assert failure is not None
    assert (failure.code, failure.detail, failure.hint) == ("shape_mismatch", "d", "h")


def test_a_child_that_gives_up_without_a_reason_is_an_internal_failure_and_its_last_words_are_kept(tmp_path):
    end, _ = run("import sys; print('what went wrong', file=sys.stderr); sys.exit(3)", tmp_path)
    assert code(end) == "internal"
    assert "what went wrong" in end.log


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGFPE", "SIGABRT", "SIGBUS", "SIGILL"])
def test_a_crash_names_its_signal(tmp_path, name):
    end, _ = run(f"import os, signal; os.kill(os.getpid(), signal.{name})", tmp_path)
    failure = failure_of(end, LIMITS, max_event_bytes=MAX_EVENT_BYTES)
    assert failure is not None
    assert failure.code == "model_crashed"
    assert name in failure.detail
    assert not failure.retriable


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SIGXCPU", "timeout"),
        ("SIGXFSZ", "output_too_large"),
        ("SIGSYS", "sandbox_violation"),
        ("SIGKILL", "worker_lost"),
    ],
)
def test_other_signals_are_told_apart(tmp_path, name, expected):
    end, _ = run(
        f"import os, signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL); os.kill(os.getpid(), signal.{name})",
        tmp_path,
    )
    assert code(end) == expected


def test_a_kill_while_the_oom_killer_was_at_work_is_out_of_memory():
    end = Exit(status=-9, breach=None, failure=None, log="", oom_killed=True, peak_bytes=0)
    assert code(end) == "out_of_memory"


def test_a_hanging_child_is_killed_at_its_deadline_with_everything_it_started(tmp_path):
    limits = Limits(wall_s=0.8, cpu_s=30, memory_bytes=1 << 30, data_bytes=None, file_bytes=1 << 20)
    end, _ = run(
        """
        import os, time
        child = os.fork()
        if child:
            open("grandchild", "w").write(str(child))
        time.sleep(60)
        """,
        tmp_path,
        limits=limits,
    )
    assert code(end, limits) == "timeout"
    assert is_gone(int((tmp_path / "grandchild").read_text()))


def test_what_a_child_leaves_behind_when_it_ends_is_killed_and_does_not_hold_up_the_supervisor(tmp_path):
    end, _ = run(
        """
        import os, time
        child = os.fork()
        if not child:
            time.sleep(60)
        open("grandchild", "w").write(str(child))
        """,
        tmp_path,
    )
    assert code(end) is None
    assert is_gone(int((tmp_path / "grandchild").read_text()))


def test_a_memory_hog_is_killed_at_the_resident_limit(tmp_path):
    limits = Limits(wall_s=20, cpu_s=30, memory_bytes=200 << 20, data_bytes=None, file_bytes=1 << 20)
    end, _ = run("held = []\nwhile True: held.append(bytearray(b'x' * (8 << 20)))", tmp_path, limits=limits)
    assert code(end, limits) == "out_of_memory"
    assert end.peak_bytes > limits.memory_bytes


def test_garbage_lines_are_skipped_and_good_ones_between_them_still_heard(tmp_path):
    end, events = run(
        """
        import os
        for line in (
            b"not json", b"[]", b"{}", b'{"kind": "finished", "status": "succeeded"}', b"\\xff\\xfe", b"[" * 10000,
            b'{"kind": "progress", "stage": "s", "done": NaN, "total": 1}',
            b'{"kind": "progress", "stage": "s", "done": -1, "total": 1}',
            b'{"kind": "stage", "stage": "s", "extra": 1}',
            b'{"kind": "stage", "stage": "good"}',
        ):
            os.write(1, line + b"\\n")
        """,
        tmp_path,
    )
    assert [event.stage for event in events] == ["good"]
    assert code(end) is None


def test_a_huge_line_is_dropped_without_being_held(tmp_path):
    end, events = run(
        f"""
        import os
        os.write(1, b'{{"kind": "log", "message": "')
        for _ in range(4 * {MAX_LINE_BYTES} // 4096):
            os.write(1, b"x" * 4096)
        os.write(1, b'"}}\\n' + b'{{"kind": "stage", "stage": "good"}}\\n')
        """,
        tmp_path,
    )
    assert [event.kind for event in events] == ["stage"]
    assert code(end) is None


def test_a_flood_of_events_ends_the_audit(tmp_path):
    end, _ = run("import os\nwhile True: os.write(1, b'x' * 65536)", tmp_path)
    assert code(end) == "output_too_large"


def test_a_flood_on_standard_error_is_only_remembered_by_its_tail(tmp_path):
    end, _ = run("import os\nfor _ in range(200): os.write(2, b'x' * 65536)\nos.write(2, b'the end')", tmp_path)
    assert code(end) is None
    assert end.log.endswith("the end")
    assert len(end.log) <= 64 << 10


def test_what_a_child_says_cannot_command_a_terminal(tmp_path):
    end, _ = run("import os; os.write(2, b'\\x1b[2J\\r\\xff done\\n')", tmp_path)
    assert end.log == "\ufffd[2J\ufffd\ufffd done\n"


def test_a_child_told_to_stop_is_killed_at_once_and_blamed_for_nothing(tmp_path):
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    end, _ = run(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)",
        tmp_path,
        must_stop=stop.is_set,
    )
    assert end.breach == "told_to_stop"
    assert end.status == -signal.SIGKILL
    assert code(end) is None
    assert time.monotonic() - began < 30  # and not the sixty seconds it wanted to sleep


def test_directories_of_this_machine_do_not_leave_it(tmp_path):
    _, events = run(
        """
        import json, os, sys
        print(json.dumps({"kind": "log", "message": f"{os.getcwd()}/model and {sys.prefix}/lib"}))
        """,
        tmp_path,
    )
    assert events[0].message == "<job>/model and <python>/lib"


def test_a_secret_of_the_parent_is_not_visible_in_the_child(tmp_path):
    environ = {**os.environ, "EIGENGATE_DATABASE_URL": "hunter2-a", "AWS_SECRET_ACCESS_KEY": "hunter2-b", "TZ": "UTC"}
    run(
        """
        import os
        own = open("/proc/self/environ").read() + repr(dict(os.environ))
        open("seen", "w").write(own + repr(os.listdir("/proc/self/fd")))
        """,
        tmp_path,
        environ=environ,
    )
    seen = (tmp_path / "seen").read_text()
    assert "hunter2" not in seen
    assert "'ORT_DISABLE_TELEMETRY': '1'" in seen
    assert "'OMP_NUM_THREADS': '1'" in seen
    assert "'TZ': 'UTC'" in seen


def test_the_child_inherits_no_open_file(tmp_path):
    held = (tmp_path / "held").open("w")
    os.set_inheritable(held.fileno(), True)
    run(
        """
        import os
        targets = [os.readlink(f"/proc/self/fd/{n}") for n in (0, 1, 2)]
        open("fds", "w").write(repr(targets + os.listdir("/proc/self/fd")))
        """,
        tmp_path,
    )
    held.close()
    null, out, err, *numbers = eval((tmp_path / "fds").read_text())
    assert null == "/dev/null"
    assert out.startswith("pipe:")
    assert err.startswith("pipe:")
    # 0, 1, 2, the file it writes, and the listing itself
    assert len(numbers) <= 5
