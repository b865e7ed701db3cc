"""Starting programs that end with the program that started them, even where that is killed at once.

    python mag/envs/tether.py PARENT PROGRAM [ARGUMENTS]

becomes PROGRAM after it has asked the kernel to be killed when process PARENT ends (Linux; elsewhere a program has to
notice that its input has closed). This file imports nothing of the package, so that it starts at once.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

_SET_DEATH_SIGNAL = 1
"""Linux's PR_SET_PDEATHSIG."""


def start(command: Sequence[str], *, leads: bool = True, **options: Any) -> subprocess.Popen[bytes]:
    """`subprocess.Popen(command, **options)`, tethered to this process; one that `leads` has a group of its own."""
    words = [sys.executable, "-S", "-E", __file__, str(os.getpid()), *command]
    return subprocess.Popen(words, start_new_session=leads, **options)


def end(process: subprocess.Popen[bytes], *, leads: bool = True, patience: float = 0.0) -> None:
    """End a program started here, and all of its group where it `leads`; it has `patience` seconds to end by itself."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if leads:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def main(parent: int, command: list[str]) -> None:
    """Become `command`, unless the parent has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
