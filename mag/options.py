"""Options: dataclass fields that declare their default, their bounds and their help in one place.

    hidden: int = number(256, least=1)
    \"\"\"Width of the hidden layers.\"\"\"

A configuration is a frozen dataclass whose fields are options or groups of options; a group is a dataclass, too. The
option `hidden` of the group `networks` is called `networks.hidden`.
"""

import ast
import dataclasses
import difflib
import functools
import importlib.util
import inspect
import json
import math
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from mag.errors import UsageError

Config = TypeVar("Config")
Number = int | float


class Bounds(NamedTuple):
    """The range of numbers that an option allows: `least` and `most` are inclusive, `above` and `below` exclusive."""

    least: Number | None = None
    most: Number | None = None
    above: Number | None = None
    below: Number | None = None

    def admit(self, value: Number) -> bool:
        """Whether a finite number lies within the bounds."""
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        """The bounds in words, to complete "it must be ..."."""
        words = (("at least", self.least), ("above", self.above), ("at most", self.most), ("below", self.below))
        return " and ".join(f"{word} {bound}" for word, bound in words if bound is not None) or "a finite number"


def number(
    default: Number | None,
    *,
    least: Number | None = None,
    most: Number | None = None,
    above: Number | None = None,
    below: Number | None = None,
    source: str | None = "paper",
    only_with: str | tuple[str, ...] = (),
    only_without: str = "",
) -> Any:
    """A field that holds a number within bounds, or None where its type and default say so.

    `source` names the publication that the default comes from, which the help quotes; None if there is none. The
    number has an effect only if one of the fields `only_with` of its group is set, and `only_without` is not; a field
    is set unless it is 0 or false.
    """
    bounds = Bounds(least, most, above, below)
    with_any = (only_with,) if isinstance(only_with, str) else only_with
    metadata = {"bounds": bounds, "source": source, "only_with": with_any, "only_without": only_without}
    return dataclasses.field(default=default, metadata=metadata)


def choice(default: Any, *, source: str | None = "paper", only_with: str = "") -> Any:
    """A field that holds true or false, text, a path, or one of the words in its type; the rest as in `number`."""
    return dataclasses.field(
        default=default, metadata={"source": source, "only_with": (only_with,) if only_with else ()}
    )


class Option(NamedTuple):
    """One option of a configuration."""

    name: str
    """The full name, with its groups: `networks.hidden`."""
    type: Any
    value: Any
    help: str
    bounds: Bounds
    source: str | None
    published: Any
    """The value in the publication that `source` names: the field's default."""
    idle: tuple[str, ...]
    """Options whose values leave this one without effect; empty if it has one."""


def options(config: Any, prefix: str = "") -> Iterator[Option]:
    """Every option of a configuration, group by group, in the order of the fields."""
    cls: Any = type(config)
    kinds, helps = field_types(cls), docstrings(cls)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from options(value, f"{prefix}{field.name}.")
        else:
            yield Option(
                prefix + field.name,
                kinds[field.name],
                value,
                helps.get(field.name, ""),
                field.metadata.get("bounds", Bounds()),
                field.metadata.get("source"),
                field.default,
                tuple(prefix + name for name in idle(config, field)),
            )


def idle(config: Any, field: dataclasses.Field) -> tuple[str, ...]:
    """The fields of a group that leave one of its fields without effect, as `number` describes."""
    wanted, unwanted = field.metadata.get("only_with", ()), field.metadata.get("only_without")
    if wanted and not any(getattr(config, name) for name in wanted):
        return tuple(wanted)
    return (unwanted,) if unwanted and getattr(config, unwanted) else ()


@functools.cache
def field_types(cls: type) -> dict[str, Any]:
    """The types of a dataclass's fields."""
    return typing.get_type_hints(cls)


@functools.cache
def docstrings(cls: type) -> dict[str, str]:
    """The docstring below each field of a dataclass and its base classes; none if their code cannot be read."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0]
        except (OSError, TypeError, SyntaxError):
            continue
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                if isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
                    found[field.target.id] = " ".join(text.value.value.split())
    return found


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`, the form of options' names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def values(config: Any) -> dict[str, Any]:
    """The value of every option by name."""
    return {option.name: option.value for option in options(config)}


def to_json(config: Any) -> dict[str, Any]:
    """A configuration as JSON values, one dict per group."""
    nested: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return nested


def override(config: Config, changes: Mapping[str, Any]) -> Config:
    """The configuration with some values changed, named `a.b` or nested; text is read as the option's type.

    Raises UsageError for an unknown option and for a value of the wrong type; `check_bounds` checks the bounds.
    """
    flat = flatten(changes)
    known = {option.name: option for option in options(config)}
    for name, value in flat.items():
        if name not in known:
            raise UsageError(unknown(name, value, known))
    converted = {name: convert(name, known[name].type, value) for name, value in flat.items()}
    return _replace(config, converted)


def unknown(name: str, value: Any, known: Iterable[str], spell: Callable[[str], str] = str) -> str:
    """The error message for a name that is not an option, though perhaps a group of options; `spell` spells options."""
    if inside := [spell(each) for each in known if each.startswith(f"{name}.")]:
        return f"{spell(name)} is {value!r}, but it is a group of options; set one of them: {', '.join(inside)}"
    return f"unknown option {spell(name)}{did_you_mean(spell(name), [spell(each) for each in known])}"


def _replace(config: Any, flat: Mapping[str, Any]) -> Any:
    """`dataclasses.replace` for names with groups."""
    groups: dict[str, dict[str, Any]] = {}
    changed: dict[str, Any] = {}
    for name, value in flat.items():
        group, dot, rest = name.partition(".")
        if dot:
            groups.setdefault(group, {})[rest] = value
        else:
            changed[name] = value
    changed |= {group: _replace(getattr(config, group), inner) for group, inner in groups.items()}
    return dataclasses.replace(config, **changed)


def convert(name: str, kind: Any, value: Any) -> Any:
    """A value converted to its option's type, also from text. Raises UsageError, naming the option, if that fails."""
    kinds = alternatives(kind)
    if value is None and types.NoneType in kinds:
        return None
    kind = kinds[0]
    wrong = UsageError(f"{name}: {value!r} is not {wanted(kind)}")
    if typing.get_origin(kind) is Literal:
        if value in typing.get_args(kind):
            return value
        near = did_you_mean(str(value), map(str, typing.get_args(kind)))
        raise UsageError(f"{name}: {value!r} is not one of {', '.join(map(str, typing.get_args(kind)))}{near}")
    try:
        if kind in (int, float):
            return _number(kind, value)
        if kind is bool:
            return _truth(value)
        if kind is Path:
            return Path(value)
    except (ValueError, TypeError, OverflowError):
        raise wrong from None
    if not isinstance(value, kind):
        raise wrong
    return value


def wanted(kind: Any) -> str:
    """The values that an option of a type allows, in words."""
    kind = alternatives(kind)[0]
    if typing.get_origin(kind) is Literal:
        return " or ".join(map(str, typing.get_args(kind)))
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
    return words.get(kind) or f"of type {kind.__name__}"


def alternatives(kind: Any) -> tuple[Any, ...]:
    """`(A, B)` of the type `A | B`, `(A,)` of any other."""
    return typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)


def _number(kind: type, value: Any) -> Number:
    """A number, also from text, and whole ones from `1e6`; ValueError or TypeError for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    if kind is float:
        return float(value)
    try:
        return int(value) if isinstance(value, str) else _whole(value)
    except ValueError:
        return _whole(float(value))


def _whole(value: Number) -> int:
    """A whole number as an integer; ValueError if it has a fraction."""
    if int(value) != value:
        raise ValueError
    return int(value)


def typed(value: Any) -> str:
    """A value as it is typed on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _truth(value: Any) -> bool:
    """True or False, also from text; ValueError for other text."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError


def check_bounds(config: Any, spell: Callable[[str], str] = str) -> None:
    """Raise UsageError, naming the value and what is allowed, for the first number outside its bounds."""
    for option in options(config):
        value = option.value
        if isinstance(value, int | float) and not isinstance(value, bool) and not option.bounds.admit(value):
            allowed = option.bounds if math.isfinite(value) else "a finite number"
            raise UsageError(f"{spell(option.name)} is {value}; it must be {allowed}")


def check_idle(config: Any, default: Any, spell: Callable[[str], str] = str) -> None:
    """Raise UsageError for the first option without effect, as `number` describes, that differs from its default."""
    given, usual = values(config), values(default)
    for option in options(config):
        if option.idle and option.value != usual.get(option.name):
            set_to = {name: "not given" if given[name] is None else given[name] for name in option.idle}
            why = " and ".join(f"{spell(name)} is {value}" for name, value in set_to.items())
            raise UsageError(
                f"{spell(option.name)} is {option.value}, but has no effect while {why}; change that or leave it out"
            )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean ...?)` if a known name is close as a whole, or without its groups; else empty."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.7)
    if not close:
        last = word.rpartition(".")[2]
        ends = {name.rpartition(".")[2]: name for name in reversed(names)}
        close = [ends[end] for end in difflib.get_close_matches(last, list(ends), n=1, cutoff=0.7)]
    return f" (did you mean {close[0]}?)" if close else ""


def module_exists(path: str) -> bool:
    """Whether a module of this import path exists; its parent packages are imported."""
    try:
        return "." not in (path[:1], path[-1:]) and importlib.util.find_spec(path) is not None
    except (ModuleNotFoundError, ValueError):
        return False
