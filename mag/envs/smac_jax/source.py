"""Tables of fields as TOML or JSON, with errors that name the field, its value, what is allowed and its line."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mag.errors import UsageError

GREATEST = 1e6
"""Greatest absolute value of any number."""


class Source(NamedTuple):
    """A table of fields and the place where a user wrote them."""

    place: str
    """A file's path, or what else the fields were read from."""
    fields: dict[str, Any]
    text: str = ""
    """The TOML text, in which errors look up the line."""
    folder: Path = Path()
    """Folder from which paths in the fields start."""

    def fault(self, field: str, given: Any, allowed: str) -> UsageError:
        """The error for `field`, a dotted name with [i] for list entries."""
        return UsageError(f"{self.place}{self.line(field)}: {field} is {given!r}; allowed: {allowed}")

    def line(self, field: str) -> str:
        """`, line n` of the field, or of the table or list that should hold the field; empty if neither is written."""
        parts = field.split(".")
        for count in reversed(range(len(parts))):
            sections = [each for each in _sections(self.text) if each.name == _without_index(parts[:count])]
            if not sections:
                continue
            section = sections[min(_index(parts[:count]), len(sections) - 1)]
            found = section.keys.get(_without_index(parts[count : count + 1]), section.header)
            return "" if found is None else f", line {found + 1}"
        return ""

    def check_known(self, path: str, fields: dict[str, Any], known: Iterable[str]) -> None:
        """Raise for a field that is not one of `known`."""
        for key in fields:
            if key not in known:
                field = f"{path}.{key}" if path else key
                raise self.fault(field, fields[key], f"no such field; the fields are {', '.join(known)}")

    def check_count(self, field: str, value: Any, least: int, most: int) -> int:
        """`value`, a whole number from `least` to `most`; raise if it is anything else."""
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.fault(field, value, f"a whole number from {least} to {most}")
        return value


class _Section(NamedTuple):
    """The lines below a `[name]` or `[[name]]` header, or above the first header."""

    name: str
    header: int | None
    keys: dict[str, int]
    """Line of each key."""


def read_toml(path: str | Path, kind: str) -> Source:
    """The fields in a TOML file of a `kind`. Raises UsageError if the file cannot be read or is not TOML."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        return Source(str(path), tomllib.loads(text), text, path.parent)
    except OSError as error:
        raise UsageError(f"cannot read the {kind} file {path} ({error.strerror})") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error


def are_numbers(value: Any, length: int) -> bool:
    """Whether `value` is a list of `length` numbers, none beyond `GREATEST`."""
    is_list = isinstance(value, list) and len(value) == length
    return is_list and all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) <= GREATEST for x in value)


def _sections(text: str) -> Iterator[_Section]:
    section = _Section("", None, {})
    for number, line in enumerate(text.splitlines()):
        if header := re.match(r"\s*\[+\s*([^],\[]+?)\s*\]+\s*(#.*)?$", line):
            yield section
            section = _Section(header[1], number, {})
        elif key := re.match(r"\s*([\w-]+)\s*=", line):
            section.keys.setdefault(key[1], number)
    yield section


def _without_index(parts: list[str]) -> str:
    return ".".join(part.partition("[")[0] for part in parts)


def _index(parts: list[str]) -> int:
    """The last list index in a dotted name, 0 if there is none."""
    found = re.findall(r"\[(\d+)\]", ".".join(parts))
    return int(found[-1]) if found else 0
