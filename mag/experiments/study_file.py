"""A study's TOML file: what it may hold, its values, and the line of each value for error messages."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mag import envs
from mag.algorithms import registry
from mag.errors import UsageError
from mag.options import did_you_mean, flatten

_PART = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_TABLE = re.compile(rf"\s*\[\s*({_PART}(?:\s*\.\s*{_PART})*)\s*\]")

AXES = {"size": registry.SIZES, "recipe": registry.RECIPES}
"""Presets that choose a run's defaults together with environment and method, and the values allowed."""
KEYS: dict[str, type | tuple[type, ...]] = {
    "title": str,
    "envs": list,
    "methods": list,
    "seeds": (int, list),
    "steps": (int, dict),
    "options": dict,
    "method_options": dict,
    "env_options": dict,
    "grid": dict,
    "variants": dict,
    "panels": str,
    "curves": list,
    **dict.fromkeys(AXES, str),
}
"""Keys of a study file, and the types allowed."""
REQUIRED = ("envs", "methods", "seeds", "steps", *AXES)
KINDS = {str: "text", int: "a whole number", list: "a list", dict: "a table", float: "a number", bool: "true or false"}


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


def check_keys(file: StudyFile) -> None:
    """Raise UsageError for keys that are unknown, missing or of another type, and for empty or unknown items."""
    values = file.values
    for name in values:
        if name not in KEYS:
            raise file.error(name, f"unknown key{did_you_mean(name, KEYS)}; allowed are {', '.join(KEYS)}")
    for name in REQUIRED:
        if name not in values:
            choice = f" ({', '.join(AXES[name])})" if name in AXES else ""
            raise UsageError(f"{file.path}: {name} is missing{choice}; a study needs {', '.join(REQUIRED)}")
    for name, value in values.items():
        allowed_kinds = KEYS[name]
        kinds = allowed_kinds if isinstance(allowed_kinds, tuple) else (allowed_kinds,)
        if type(value) not in kinds:
            raise file.error(name, f"{value!r} must be {' or '.join(KINDS[kind] for kind in kinds)}")
    for axis, allowed in AXES.items():
        check_items(file, axis, [values[axis]], allowed)
    for field, look_up in (("methods", registry.find), ("envs", envs.spec)):
        check_items(file, field, values[field])
        for name in values[field]:
            try:
                look_up(name)
            except UsageError as error:
                raise file.error(field, str(error), name) from error
    check_counts(file)
    for place, allowed in (("method_options", values["methods"]), ("env_options", values["envs"])):
        for name, options in values.get(place, {}).items():
            if name not in allowed:
                raise file.error(
                    f"{place}.{name}",
                    f"not in the study{did_you_mean(name, allowed)}; allowed are {', '.join(allowed)}",
                )
            check_table(file, f"{place}.{name}", options)
    for name, options in values.get("variants", {}).items():
        check_table(file, f"variants.{name}", options)


def check_table(file: StudyFile, field: str, value: Any) -> None:
    """Raise UsageError where a value is no table of options."""
    if not isinstance(value, dict):
        raise file.error(field, f"{value!r} must be a table of options")


def check_items(file: StudyFile, field: str, items: list[Any], allowed: Iterable[str] | None = None) -> None:
    """Raise UsageError where a list of texts is empty, repeats an item or holds one that is not allowed."""
    known = None if allowed is None else list(allowed)
    if not items and field in REQUIRED:
        raise file.error(field, "the list is empty; give at least one")
    for item in items:
        if not isinstance(item, str):
            raise file.error(field, f"{item!r} must be text", item)
        if known is not None and item not in known:
            raise file.error(
                field, f"{item!r} is unknown{did_you_mean(item, known)}; allowed are {', '.join(known)}", item
            )
        if items.count(item) > 1:
            raise file.error(field, f"{item!r} is listed twice; leave one out", item)


def check_counts(file: StudyFile) -> None:
    """Raise UsageError for seeds or steps that are no whole numbers or out of bounds, and for repeated seeds."""
    seeds, steps = file.values["seeds"], file.values["steps"]
    numbers = [seeds] if isinstance(seeds, int) else seeds
    least = 1 if isinstance(seeds, int) else 0
    for seed in numbers:
        if type(seed) is not int or seed < least:
            raise file.error("seeds", f"{seed!r} must be a whole number, at least {least}", seed)
        if numbers.count(seed) > 1:
            raise file.error("seeds", f"{seed} is listed twice; leave one out", seed)
    if not numbers:
        raise file.error("seeds", "the list is empty; give at least one")
    for name, value in steps.items() if isinstance(steps, dict) else [("", steps)]:
        field = f"steps.{name}" if name else "steps"
        if name and name not in ("default", *file.values["envs"]):
            known = ["default", *file.values["envs"]]
            raise file.error(field, f"no such environment{did_you_mean(name, known)}; allowed are {', '.join(known)}")
        if type(value) is not int or value < 1:
            raise file.error(field, f"{value!r} must be a whole number, at least 1")


def table(values: dict[str, Any], place: str) -> dict[str, Any]:
    """The options in a table of the file, by dotted names; empty where the file has no such table."""
    head, _, rest = place.partition(".")
    found = values.get(head, {})
    return flatten(found.get(rest, {}) if rest else found)
