"""The one exception a user's mistake raises; the command line prints its message and exits with code 2."""


class UsageError(Exception):
    """A mistake of the user's: says what was given, what is allowed and what to do."""
