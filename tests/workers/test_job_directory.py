"""The private directory of one audit."""

import os
import stat

import pytest

from workers.job_directory import ReportFileError, ReportTooLargeError, job_directory


def test_only_its_owner_may_enter_it_and_nothing_of_it_stays(tmp_path):
    with job_directory(tmp_path, "aud_1") as job:
        assert stat.S_IMODE(job.path.stat().st_mode) == 0o700
        (job.path / "deep").mkdir()
        (job.path / "deep" / "file").touch(0o000)
    assert list(tmp_path.iterdir()) == []


def test_a_report_is_read_up_to_its_limit(tmp_path):
    with job_directory(tmp_path, "aud_1") as job:
        assert job.read_report(max_bytes=4) is None
        (job.path / "report.json").write_bytes(b"1234")
        assert job.read_report(max_bytes=4) == b"1234"
        with pytest.raises(ReportTooLargeError, match="larger than 3 bytes"):
            job.read_report(max_bytes=3)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc/passwd")])
def test_a_report_that_is_no_plain_file_is_refused_without_waiting(tmp_path, make):
    with job_directory(tmp_path, "aud_1") as job:
        make(job.path / "report.json")
        with pytest.raises(ReportFileError, match=r"the report (is not a plain file|cannot be opened)"):
            job.read_report(max_bytes=4)
