"""Ctrl-C, SIGTERM and a closed terminal as a request to stop after the current iteration."""

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any


class Interrupted(Exception):  # noqa: N818 - asked for by the user, not an error
    """The run was asked to stop, or its output was closed; it has been saved."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


class StopRequest:
    """While entered, the first SIGINT, SIGTERM or SIGHUP is noted in `signum`; a second one ends the work at once.

    A SIGHUP that is ignored already, as under `nohup`, stays so. Outside the main thread, which alone may handle
    signals, nothing is noted.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self, notify: Callable[[str], None]) -> None:
        self.signum: int | None = None
        self._notify = notify
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()
            noted = [signum for signum in self.SIGNALS if signum not in ignored]
            self._previous = {signum: signal.signal(signum, self._handle) for signum in noted}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            raise KeyboardInterrupt
        self.signum = signum
        with contextlib.suppress(OSError):
            self._notify(f"{signal.Signals(signum).name}: finishing this iteration, then saving; again to stop at once")
