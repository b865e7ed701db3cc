"""A study's TOML file: its values, and the line of each value for error messages."""

import re
import tomllib
from pathlib import Path
from typing import Any

from mag.errors import UsageError

_PART = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_TABLE = re.compile(rf"\s*\[\s*({_PART}(?:\s*\.\s*{_PART})*)\s*\]")


class StudyFile:
    """The values of a TOML file. Raises UsageError where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.text = path.read_text()
            self.values: dict[str, Any] = tomllib.loads(self.text)
        except OSError as error:
            raise UsageError(f"study {path} cannot be read ({error.strerror}); name a TOML file") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"study {path} is not text ({error.reason}); name a TOML file") from error
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"study {path} is not TOML: {error}") from error

    def error(self, field: str, message: str, item: Any = None) -> UsageError:
        """An error at a field, given as `table.key`, or at one item of the field's list."""
        return UsageError(f"{self.path}, line {self.line(field, item)}: {field}: {message}")

    def line(self, field: str, item: Any = None) -> int:
        """The line number of a field: of the item if given, else of the key, else of the table, else 1."""
        lines = self.text.splitlines()
        found, matched, table = 1, 0, ""
        for number, line in enumerate(lines, 1):
            if header := _TABLE.match(line):
                name = table = plain(header[1])
            elif key := _KEY.match(line):
                name = f"{table}.{plain(key[1])}" if table else plain(key[1])
            else:
                continue
            if f"{field}.".startswith(f"{name}.") and len(name) > matched:
                found, matched = number, len(name)
        if item is None or matched != len(field):
            return found
        below = enumerate(lines[found - 1 :], found)
        return next(
            (number for number, line in below if str(item) in line.partition("=")[2] or item_on(line, item)), found
        )


def item_on(line: str, item: Any) -> bool:
    """Whether a continuation line of a list contains an item."""
    return not _KEY.match(line) and str(item) in line


def plain(key: str) -> str:
    """A dotted key without its quotation marks and spaces."""
    return ".".join(part.strip("\"'") for part in re.findall(_PART, key))
