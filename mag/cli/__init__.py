"""The command line: one file per command, imported when the command is given.

`python -m mag` is `mag`.
"""

from mag.cli.main import main

__all__ = ["main"]
