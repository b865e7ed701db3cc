"""Signals that arrive in the middle of training."""

import contextlib
import os
import signal
from collections.abc import Iterator
from unittest import mock

from mag.runs.train import Run


@contextlib.contextmanager
def signal_in_iteration(iteration: int, signum: signal.Signals = signal.SIGTERM) -> Iterator[None]:
    """Send this process a signal in the given iteration (counted from 1) of the run that is trained while entered."""
    iterate = Run.iterate

    def interrupted(run: Run) -> object:
        if run.progress.iteration + 1 == iteration:
            os.kill(os.getpid(), signum)
        return iterate(run)

    with mock.patch.object(Run, "iterate", interrupted):
        yield
