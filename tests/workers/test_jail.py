"""The walls around a child: it dies with its parent, and its limits hold."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.support.processes import is_gone, text_of
from workers.exits import failure_of
from workers.sandbox.environment import clean_environment
from workers.sandbox.limits import Limits
from workers.supervisor import MAX_EVENT_BYTES, supervise

ROOT = Path(__file__).resolve().parents[2]
PREAMBLE = f"""
import sys
sys.path.append({str(ROOT)!r})
import os, time, json
from workers.sandbox.jail import enter
from workers.sandbox.limits import Limits
"""


def limits(**changes):
    values = {"wall_s": 20, "cpu_s": 30, "memory_bytes": 1 << 30, "data_bytes": None, "file_bytes": 1 << 20}
    return Limits(**{**values, **changes})


def run(script, directory, bounds):
    enter = f"enter(Limits.from_json(json.loads({json.dumps(bounds.as_json())!r})), parent={os.getpid()})\n"
    events = []
    end = supervise(
        [sys.executable, "-I", "-c", PREAMBLE + enter + textwrap.dedent(script)],
        directory=directory,
        environment=clean_environment({}, job_dir=directory, threads=1),
        limits=bounds,
        on_event=events.append,
        must_stop=lambda: False,
    )
    return end, failure_of(end, bounds, max_event_bytes=MAX_EVENT_BYTES)


def test_the_child_dies_with_a_killed_parent_though_a_thread_started_it(tmp_path):
    child = (
        f"{PREAMBLE}\nenter(Limits.from_json(json.loads(sys.argv[1])), parent=int(sys.argv[2]))\n"
        + textwrap.dedent(
            """
        open("pid", "w").write(str(os.getpid()))
        time.sleep(60)
        """
        )
    )
    parent = textwrap.dedent(
        f"""
        import json, os, sys, threading
        sys.path.append({str(ROOT)!r})
        from pathlib import Path
        from workers.sandbox.limits import Limits
        from workers.supervisor import supervise
        limits = Limits.from_json(json.loads({json.dumps(limits().as_json())!r}))
        command = [sys.executable, "-I", "-c", {child!r}, json.dumps(limits.as_json()), str(os.getpid())]
        work = dict(directory=Path({str(tmp_path)!r}), environment={{}}, limits=limits,
                    on_event=print, must_stop=lambda: False)
        threading.Thread(target=supervise, args=(command,), kwargs=work).start()
        """
    )
    with subprocess.Popen([sys.executable, "-c", parent]) as supervisor:
        pid = int(text_of(tmp_path / "pid"))
        assert not is_gone(pid, within=0.2)
        supervisor.kill()
    assert is_gone(pid)


def test_a_child_whose_parent_is_already_gone_does_not_start(tmp_path):
    finished = subprocess.run(
        [sys.executable, "-I", "-c", PREAMBLE + f"enter(Limits(**{limits().as_json()}), parent=1)\nprint('ran')"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert finished.returncode == 1
    assert "ran" not in finished.stdout


def test_an_endless_loop_is_ended_by_its_cpu_limit(tmp_path):
    _, failure = run("while True: pass", tmp_path, limits(cpu_s=1))
    assert failure is not None
    assert failure.code == "timeout"


def test_an_oversized_file_is_refused(tmp_path):
    end, _ = run(
        """
        try:
            open("big", "wb").write(b"x" * (4 << 20))
        except OSError as error:
            print(error, file=sys.stderr)
        """,
        tmp_path,
        limits(),
    )
    assert "File too large" in end.log


def test_memory_beyond_the_data_limit_is_refused_cleanly(tmp_path):
    end, _ = run(
        """
        try:
            held = bytearray(1 << 30)
        except MemoryError:
            print("refused", file=sys.stderr)
        """,
        tmp_path,
        limits(data_bytes=256 << 20),
    )
    assert end.status == 0
    assert "refused" in end.log


def test_a_limit_cannot_be_raised_again(tmp_path):
    end, _ = run(
        """
        import resource
        if os.geteuid() == 0:
            os.setuid(65534)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
        """,
        tmp_path,
        limits(),
    )
    assert "not allowed to raise" in end.log
