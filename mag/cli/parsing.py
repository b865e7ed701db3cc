"""From words to options: `--option value`, `--option=value`, `-` and `_` alike; flags take no value."""

import shutil
import sys
import textwrap
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from mag.errors import UsageError
from mag.options import (
    Bounds,
    Option,
    alternatives,
    check_bounds,
    check_idle,
    convert,
    options,
    override,
    typed,
    unknown,
    wanted,
)

Options = TypeVar("Options")
HELP = ("-h", "--help", "--help-all")
PLACEHOLDERS = {Path: "PATH", str: "NAME", int: "NUMBER", float: "NUMBER"}
"""What help shows in place of a value if an option has none."""


class HelpAsked(Exception):  # noqa: N818 - asked for by the user, not an error
    """The user asks for help; the exception's text is the help."""


class Words(NamedTuple):
    """A command line taken apart."""

    positionals: list[str]
    given: dict[str, str]
    """The text given for each option, by the option's name; the last one counts."""
    spelt: dict[str, str]
    """How the user wrote each option."""


def split(words: list[str], prog: str, known: Mapping[str, Option] | None = None, group: str | None = None) -> Words:
    """Take a command line apart. Raises UsageError if a value is missing.

    If the options are `known`, true/false options take no value, and unknown options are refused
    unless their names begin with `group`.
    """
    positionals: list[str] = []
    given: dict[str, str] = {}
    spelt: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            positionals.append(word)
            continue
        option, equals, value = word.partition("=")
        name = option[2:].replace("-", "_")
        in_group = group is not None and name.startswith(group)
        if known is not None and name not in known and not in_group:
            mistake = unknown(name, value, known, spelling({name: option}))
            raise UsageError(f"{mistake}; `{prog} --help` lists all")
        if known is not None and not in_group and known[name].type is bool and not equals:
            value = "true"
        elif not equals:
            if not rest or rest[0].startswith("--"):
                raise UsageError(f"{option} needs a value; `{prog} --help` explains")
            value = rest.pop(0)
        given[name], spelt[name] = value, option
    return Words(positionals, given, spelt)


def spelling(spelt: dict[str, str]) -> Callable[[str], str]:
    """How the user of a command line writes options: as given, and others with the same kind of dashes."""
    underscores = any("_" in option for option in spelt.values())

    def spell(name: str) -> str:
        return spelt.get(name) or "--" + (name if underscores else name.replace("_", "-"))

    return spell


def parse(
    words: list[str], default: Options, prog: str, positionals: tuple[str, ...] = ()
) -> tuple[list[str], Options]:
    """The positional words and the options of a command.

    `positionals` are their names in help: `RUN`, `[FILTER]` for one that may be left out, `RUN...` for one or more at
    the end. Raises HelpAsked if help is asked for, and UsageError for a mistake.
    """
    given, config, _ = parse_with_group(words, default, prog, positionals, group=None)
    return given, config


def parse_with_group(
    words: list[str], default: Options, prog: str, positionals: tuple[str, ...], *, group: str | None
) -> tuple[list[str], Options, dict[str, str]]:
    """As `parse`, and the text given for each option whose name begins with `group`, which `default` does not have."""
    if any(word in HELP for word in words):
        raise HelpAsked(help_of(default, prog, positionals))
    known = {option.name: option for option in options(default)}
    parts = split(words, prog, known, group)
    spell = spelling(parts.spelt)
    values = {name: convert(spell(name), known[name].type, text) for name, text in parts.given.items() if name in known}
    check_positionals(parts.positionals, positionals, prog)
    config = override(default, values)
    check_bounds(config, spell)
    check_idle(config, default, spell)
    return parts.positionals, config, {name: text for name, text in parts.given.items() if name not in known}


def check_positionals(given: list[str], names: tuple[str, ...], prog: str) -> None:
    """Raise UsageError for a word that is missing or one too many."""
    required = [name for name in names if not name.startswith("[")]
    if len(given) < len(required):
        raise UsageError(f"{required[len(given)]} is missing; the command is `{' '.join((prog, *names))}`")
    if len(given) > len(names) and not (names and names[-1].endswith("...")):
        extra = given[len(names)]
        raise UsageError(f"{extra!r} is one word too many; the command is `{' '.join((prog, *names))}`")


def help_of(default: Any, prog: str, positionals: tuple[str, ...]) -> str:
    """What `--help` prints for a command (not `mag train`): the docstring of its options, then each option."""
    found = list(options(default))
    usage = " ".join(["usage:", prog, *positionals, *(["[OPTIONS]"] if found else [])])
    about = " ".join((type(default).__doc__ or "").split())
    lines = []
    for each in found:
        is_flag = each.type is bool
        lines += entry(each.name.replace("_", "-"), each.help) if is_flag else option_help(each, each.published)
    return "\n".join([usage, "", *wrap(about), *([""] if found else []), *lines])


def option_help(option: Option, published: Any, *, full: bool = False) -> list[str]:
    """The lines of one option: as typed, its value, its help, the published value and, if `full`, what is allowed."""
    notes = [f"{option.source}: {shown(published, option.type)}"] if option.source else []
    notes += allowed(option) if full else []
    about = option.help + (f" ({'; '.join(notes)})" if notes else "")
    return entry(f"{option.name.replace('_', '-')} {shown(option.value, option.type)}", about)


def allowed(option: Option) -> list[str]:
    """The bounds of a number, or the words of a choice."""
    if option.bounds != Bounds():
        return [str(option.bounds)]
    kind = alternatives(option.type)[0]
    is_choice = typing.get_origin(kind) is Literal and len(typing.get_args(kind)) > 1
    return [wanted(kind)] if is_choice else []


def entry(option: str, about: str) -> list[str]:
    """The lines of one option in help."""
    return [f"  --{option}", *wrap(about, indent=6)]


def shown(value: Any, kind: Any) -> str:
    """A value as it is typed, or what stands for one that is not given."""
    if value is None or value == "":
        return PLACEHOLDERS.get(alternatives(kind)[0], "VALUE")
    return typed(value)


def announce(what: str) -> None:
    """Print what is going on before the first result, if standard error is a terminal."""
    if sys.stderr.isatty():
        print(f"{what}; compiling takes up to a minute the first time", file=sys.stderr)


def caution(env: str, content: dict[str, Any] | None) -> None:
    """Warn on standard error, before play, where an environment differs from the published one.

    `content`: a map file's content as the run stored it. Raises UsageError where something needed is missing.
    """
    from mag import envs

    if sentence := envs.caution(env, content):
        print(sentence, file=sys.stderr)


def wrap(text: str, indent: int = 0, begin: str = "") -> list[str]:
    """Lines that fit the terminal, and 80 columns at most; the first one begins with `begin`."""
    width = max(40, min(80, shutil.get_terminal_size().columns))
    return textwrap.wrap(text, width, initial_indent=begin or " " * indent, subsequent_indent=" " * indent)
