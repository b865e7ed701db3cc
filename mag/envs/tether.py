"""Start programs that end together with the program that started them, even if that one is killed.

    python mag/envs/tether.py PARENT PROGRAM [ARGUMENTS]

asks the kernel to kill it when process PARENT, or the thread of PARENT that started it, ends, and then becomes PROGRAM
(on Linux; elsewhere PROGRAM itself has to notice that its input has closed). This file imports nothing of the package,
so that it starts at once.
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
    """`subprocess.Popen(command, **options)`, tethered to this process; with `leads` in a process group of its own."""
    words = [sys.executable, "-S", "-E", __file__, str(os.getpid()), *command]
    return subprocess.Popen(words, start_new_session=leads, **options)


def end(process: subprocess.Popen[bytes], *, leads: bool = True, patience: float = 0.0) -> None:
    """End a program started here, with its group if `leads`; it first has `patience` seconds to end by itself."""
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
