"""A user's mistake, and an output that nobody takes."""

import os
from typing import IO


class UsageError(Exception):
    """A mistake of the user's: says what was given, what is allowed and what to do.

    The command line prints its message and exits with code 2.
    """


class PlayError(UsageError):
    """The environment cannot be played any further. What was learned until then is whole, and is saved."""


def discard(output: IO[str]) -> None:
    """Send what cannot be written nowhere: Python would try again, and complain, when the program ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, output.fileno())
    os.close(nowhere)
