"""The walls around the child process, put up before anything of the upload is read.

This is the one place where confinement enters: further layers (Landlock, seccomp) belong into :func:`enter`, after the
limits and before the first thread exists, because Landlock binds the calling thread and those it starts.
"""

import ctypes
import os
import sys
import threading
import time

from workers.sandbox.limits import Limits, apply_limits

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
SIGKILL = 9


def enter(limits: Limits, *, parent: int) -> None:
    """Confine the calling process: it dies with ``parent``, gains no privileges, and stays within ``limits``."""
    _die_with(parent)
    if sys.platform == "linux":
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
    apply_limits(limits)


def _die_with(parent: int) -> None:
    """Arrange to be killed when the parent goes.

    Linux sends the signal when the *thread* that started the child ends. The supervisor therefore waits for its child
    in the very thread that started it, so that this thread outlives the child unless the whole process dies.
    """
    if sys.platform == "linux":
        _prctl(PR_SET_PDEATHSIG, SIGKILL)
        if os.getppid() != parent:  # it died before the signal was arranged
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
