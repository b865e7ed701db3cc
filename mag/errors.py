"""Errors for users, and what to do with an output that can no longer be written."""

import os
from typing import IO


class UsageError(Exception):
    """A user's mistake. The message says what was given, what is allowed and what to do.

    The command line prints its message and exits with code 2.
    """


class PlayError(UsageError):
    """The environment cannot be played any further; training saves what was learned so far."""


def discard(output: IO[str]) -> None:
    """Redirect a broken output to the null device: else Python writes it again at exit, and complains."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, output.fileno())
    os.close(nowhere)
