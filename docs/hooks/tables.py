"""Tables made from the code: commands, options, metrics, environments, methods and error messages."""

import contextlib
import functools
import importlib
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mag.algorithms.registry import ALGORITHMS, BUILT_IN, default_config, find
from mag.cli.main import COMMANDS, dispatch
from mag.cli.parsing import HelpAsked
from mag.experiments.cells import distinguishes
from mag.options import Option, alternatives, options, override, wanted
from mag.runs.metrics import METRICS
from mag.runs.resolve import changed_options

messages = importlib.import_module("messages")  # beside this file, which is no package

MAP = "smac_jax/3s_vs_3z"
"""The environment whose numbers are shown where they depend on one."""
PRESETS = (("paper", "paper"), ("small", "tuned"), ("debug", "tuned"))
"""Sizes and recipes that are shown side by side."""
PACKAGE = Path(__file__).resolve().parents[2] / "mag"


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def commands() -> str:
    """The commands, each with a link to its help below."""
    return table(("command", "what it does"), ([f"[`mag {name}`](#mag-{name})", COMMANDS[name]] for name in COMMANDS))


def help_of(command: str, *words: str) -> str:
    """What a command's help prints at 80 columns, given these words."""
    output, columns = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "80"
    try:
        with contextlib.redirect_stdout(output), contextlib.suppress(HelpAsked):
            dispatch([command, *words, "--help"])
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
    return f"```text\n{output.getvalue().rstrip()}\n```"


def maps(family: str) -> str:
    """The environments of a family, with their sizes."""
    found = importlib.import_module(f"mag.envs.{family}").specs().values()
    rows = (
        [f"`{spec.name}`", spec.n_agents, spec.obs_dim, spec.state_dim or "-", spec.n_actions, spec.episode_limit]
        for spec in found
    )
    return table(("name", "agents", "observation", "state", "actions", "steps"), rows)


def methods() -> str:
    """The methods, each with what its page is called."""
    return table(("`--algo`", "its entry"), ([f"[`{name}`]({name}.md)", f"`{BUILT_IN[name]}`"] for name in ALGORITHMS))


def metrics(*parts: str) -> str:
    """The metrics whose part before the slash is named; all of them without names."""
    rows = [
        [f"`{name}`", each.meaning, each.reading]
        for name, each in METRICS.items()
        if not parts or name.partition("/")[0] in parts
    ]
    return table(("metric", "meaning", "reading"), rows)


def deviations(whose: str) -> str:
    """The rows of "Where we differ" that compare with a publication or its code, or with all earlier code."""
    text = (PACKAGE.parent / "docs/paper/deviations.md").read_text().partition("## ")[0]
    head, rule, *rows = [line for line in text.splitlines() if line.startswith("|")]
    compared = (row.split("|")[2] for row in rows)
    shown = [row for row, with_ in zip(rows, compared, strict=True) if whose in with_ or "earlier code" in with_]
    return "\n".join([head, rule, *shown])


def options_of(algo: str) -> str:
    """Every option of a method, group by group, with its values in each preset."""
    groups: dict[str, list[list[str]]] = {}
    unused = tuple(find(algo).unused(default_config(algo, MAP, "paper", "paper")))
    for name, shown in by_preset(algo).items():
        if name not in ("env", "algo") and not name.startswith(unused):
            group, _, _ = name.rpartition(".")
            groups.setdefault(group, []).append(row(shown))
    head = ("option", "meaning", "paper", "small, tuned", "debug", "allowed")
    about = {name: docstring(algo, name) for name in groups if name}
    parts = []
    for name, rows in groups.items():
        heading = f"### {algo}: `{name}`\n\n{about[name]}" if name else f"### {algo}: of every run"
        parts.append(f"{heading}\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def by_preset(algo: str) -> dict[str, list[Option]]:
    """Each option by name, as it stands in each preset."""
    columns = [
        {each.name: each for each in options(default_config(algo, MAP, size, recipe, spec=spec()))}
        for size, recipe in PRESETS
    ]
    return {name: [column[name] for column in columns] for name in columns[0]}


@functools.cache
def spec() -> Any:
    """The sizes of `MAP`."""
    from mag import envs

    return envs.spec(MAP)


def row(shown: list[Option]) -> list[str]:
    """One option's cells."""
    first = shown[0]
    values = [f"`{word(each.value)}`" for each in shown]
    return [f"`--{first.name.replace('_', '-')}`", first.help, *values, admitted(first)]


def admitted(option: Option) -> str:
    """What an option takes: its bounds, its words or its type."""
    if isinstance(option.value, int | float) and not isinstance(option.value, bool):
        return str(option.bounds)
    return wanted(alternatives(option.type)[0])


def word(value: Any) -> str:
    """A value as it is typed."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def docstring(algo: str, group: str) -> str:
    """What a group of options is about."""
    config: Any = default_config(algo, MAP, "paper", "paper")
    for part in group.split("."):
        config = getattr(config, part)
    return " ".join((type(config).__doc__ or "").split())


def errors() -> str:
    """Every message that ends a command: a heading for what asks for the same, what to do, and the messages."""
    parts = []
    for group, found in messages.sections(messages.messages()).items():
        rows = ([escaped(text), f"`{path}`"] for path, text in found)
        parts.append(f"## {group.title}\n\n{group.to_do}\n\n{table(('message', 'said by'), rows)}")
    return "\n\n".join(parts)


def escaped(text: str) -> str:
    """A text without marks that Markdown reads; braces at the end would be attributes of the table's cell."""
    return "".join(f"&#{ord(each)};" if each in "<*[{}" else each for each in text)


def zoo() -> str:
    """The trained policies that the package holds."""
    from mag.runs import zoo

    entries = [(name, zoo.entry(Path(zoo.PREFIX) / name)) for name in zoo.names()]
    rows = (
        [
            f"`zoo/{name}`",
            each.config.algo,
            f"`{each.config.env}`",
            each.made["env_steps"],
            "-" if each.made["eval_win_rate"] is None else f"{each.made['eval_win_rate']:.2f}",
            f"{each.weights.stat().st_size / 1000:.0f} kB",
            f"`{each.made['command']}`",
            ", ".join(f"`{option}`" for option in since_changed(each)) or "-",
        ]
        for name, each in entries
    )
    head = ("name", "method", "environment", "steps", "win rate of the last test (32 battles)", "weights", "made by")
    return table((*head, "to add with today's recipe"), rows) if entries else "None is kept yet."


def since_changed(entry: Any) -> list[str]:
    """The options of an entry's run that neither its command names nor today's recipe sets, as they are typed."""
    told = json.loads((entry.folder / "config.json").read_text())["options"]
    older = {} if "collect.time_limit" in told else {"collect.time_limit": "cut"}  # the only kind before that option
    changed = changed_options(override(entry.config, older)).items()
    typed = {f"--{name.replace('_', '-')}": value for name, value in changed if distinguishes(name)}
    return [f"{name} {word(value)}" for name, value in typed.items() if name not in entry.made["command"]]
