"""The real child process on inputs it must refuse, and with its library replaced by one that misbehaves."""

import os
import sys

import pytest

from eigengate.contract import AuditConfig
from workers.exits import failure_of
from workers.job_directory import job_directory
from workers.sandbox.environment import clean_environment
from workers.sandbox.limits import Limits
from workers.supervisor import CHILD_COMMAND, MAX_EVENT_BYTES, supervise

LIMITS = Limits(wall_s=60, cpu_s=60, memory_bytes=4 << 30, data_bytes=2 << 30, file_bytes=1 << 20)


def run(tmp_path, command=CHILD_COMMAND, *, model=b"no model at all", probe=b"no probe at all"):
    events = []
    with job_directory(tmp_path, "audit") as job:
        (job.path / "model").write_bytes(model)
        (job.path / "probe").write_bytes(probe)
        job.write_request(AuditConfig(), LIMITS)
        end = supervise(
            command,
            directory=job.path,
            environment=clean_environment(os.environ, job_dir=job.path, threads=1),
            limits=LIMITS,
            on_event=events.append,
            must_stop=lambda: False,
        )
        report = job.read_report(max_bytes=1 << 20)
    return end, failure_of(end, LIMITS, max_event_bytes=MAX_EVENT_BYTES), events, report


def test_a_file_that_is_no_model_is_refused_with_the_library_s_own_code(tmp_path):
    _, failure, events, report = run(tmp_path)
    assert failure is not None
    assert failure.code == "unsupported_format"
    assert not failure.retriable
    assert [event.stage for event in events] == ["loading"]
    assert report is None
    assert list(tmp_path.iterdir()) == []


def with_library(body: str) -> tuple[str, ...]:
    """The child's command with ``eigengate.load_model`` replaced by ``body``."""
    *options, code = CHILD_COMMAND
    entry = code.split("; ", 2)[1]
    patch = f"import eigengate\ndef load_model(data):\n    {body}\neigengate.load_model = load_model\n"
    return (*options, f"import sys\n{entry}\n{patch}from workers.sandbox.child import main\nmain()")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("raise MemoryError()", "out_of_memory"),
        ("raise RuntimeError('DefaultCPUAllocator: can\\'t allocate memory: you tried')", "out_of_memory"),
        ("return bytearray(3 << 30)", "out_of_memory"),
        ("open('big', 'wb').write(b'x' * (2 << 20))", "output_too_large"),
        ("raise KeyError('unforeseen')", "internal"),
        ("import ctypes; ctypes.string_at(0)", "model_crashed"),
    ],
)
def test_what_goes_wrong_in_the_library_is_told_by_its_code(tmp_path, body, code):
    _, failure, _, _ = run(tmp_path, with_library(body))
    assert failure is not None
    assert failure.code == code


def test_what_libraries_print_does_not_mix_with_events(tmp_path):
    body = "import os; print('noise'); os.system('echo more noise'); os.write(1, b'{}'); raise KeyError('done')"
    end, failure, events, _ = run(tmp_path, with_library(body))
    assert [event.kind for event in events] == ["stage"]
    assert failure is not None
    assert failure.code == "internal"
    for words in ("noise", "more noise", "KeyError: 'done'"):
        assert words in end.log


def test_paths_of_this_machine_are_kept_out_of_a_failure(tmp_path):
    body = f"raise OSError(2, 'no such file', {sys.prefix!r} + '/lib/libtorch.so')"
    _, failure, _, _ = run(tmp_path, with_library(body))
    assert failure is not None
    assert sys.prefix not in failure.detail
    assert "<python>/lib/libtorch.so" in failure.detail
