"""From words to options: `--option value`, `--option=value`, `-` and `_` alike; flags take no value."""

import shutil
import textwrap
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

from mag.errors import UsageError
from mag.options import Option, check_bounds, convert, did_you_mean, options, override

Options = TypeVar("Options")
HELP = ("-h", "--help", "--help-all")


class Words(NamedTuple):
    """A command line taken apart."""

    positionals: list[str]
    given: dict[str, str]
    """The text given for each option, by the option's name; the last one counts."""
    spelt: dict[str, str]
    """How the user wrote each option."""


def split(words: list[str], prog: str, known: dict[str, Option] | None = None) -> Words:
    """Take a command line apart. UsageError where a value is missing.

    Of the `known` options, if they are known already, those that are true or false need no value, and another option
    is refused.
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
        if known is not None and name not in known:
            raise unknown(option, known, prog)
        if known is not None and known[name].type is bool and not equals:
            value = "true"
        elif not equals:
            if not rest or rest[0].startswith("--"):
                raise UsageError(f"{option} needs a value; `{prog} --help` explains")
            value = rest.pop(0)
        given[name], spelt[name] = value, option
    return Words(positionals, given, spelt)


def typed(words: Words, known: dict[str, Option], prog: str) -> dict[str, Any]:
    """The values given, as the types of their options. UsageError for an unknown option or a value of another type."""
    values = {}
    for name, text in words.given.items():
        option = words.spelt[name]
        if name not in known:
            raise unknown(option, known, prog)
        values[name] = convert(option, known[name].type, text)
    return values


def unknown(option: str, known: Iterable[str], prog: str) -> UsageError:
    """What to say of an option that does not exist."""
    near = did_you_mean(option, [spell(each, like=option) for each in known])
    return UsageError(f"unknown option {option}{near}; `{prog} --help` lists all")


def spell(name: str, like: str = "--") -> str:
    """An option as typed: with dashes, or with the underscores of the word that it is compared with."""
    return "--" + (name if "_" in like else name.replace("_", "-"))


def parse(
    words: list[str], default: Options, prog: str, positionals: tuple[str, ...] = ()
) -> tuple[list[str], Options]:
    """The positional words and the options of a command, or its help printed and an exit.

    Raises UsageError, in one sentence, where the words are wrong.
    """
    known = {option.name: option for option in options(default)}
    if any(word in HELP for word in words):
        print(help_of(default, prog, positionals))
        raise SystemExit(0)
    parts = split(words, prog, known)
    values = typed(parts, known, prog)
    if len(parts.positionals) < len(positionals):
        missing = positionals[len(parts.positionals)]
        raise UsageError(f"{missing} is missing; the command is `{prog} {' '.join(positionals)}`")
    if len(parts.positionals) > len(positionals):
        extra = parts.positionals[len(positionals)]
        raise UsageError(f"{extra!r} is one word too many; `{prog} --help` explains")
    config = override(default, values)
    check_bounds(config, spell)
    return parts.positionals, config


def help_of(default: Any, prog: str, positionals: tuple[str, ...]) -> str:
    """What `--help` prints of a small command: the docstring of its options, then each of them."""
    usage = " ".join(["usage:", prog, *positionals, "[OPTIONS]"])
    about = " ".join((type(default).__doc__ or "").split())
    return "\n".join([usage, "", *wrap(about), "", *(line for each in options(default) for line in describe(each))])


def describe(option: Option) -> list[str]:
    """The lines of one option: as typed, its value, and its help."""
    value = "" if option.type is bool and option.value is False else f" {shown(option.value)}"
    quoted = f" ({option.source}: {shown(option.published)})" if option.source else ""
    return [f"  {spell(option.name)}{value}", *wrap(option.help + quoted, indent=6)]


def shown(value: Any) -> str:
    """A value as it is typed."""
    return "none" if value is None else str(value)


def wrap(text: str, indent: int = 0) -> list[str]:
    """Lines that fit the terminal, and 80 columns at most."""
    width = min(80, shutil.get_terminal_size().columns)
    return textwrap.wrap(text, width, initial_indent=" " * indent, subsequent_indent=" " * indent)
