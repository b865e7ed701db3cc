"""`mag train`: resolve what the defaults depend on, default, override, validate, train."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from mag.algorithms.config import RunConfig, validate
from mag.algorithms.registry import check_used, default_config, find
from mag.cli.parsing import HELP, Words, describe, shown, spell, split, typed, wrap
from mag.errors import UsageError
from mag.options import flatten, options, override
from mag.planners.config import KINDS, planner_config
from mag.runtime import setup

PROG = "mag train"
IDENTITY = ("env", "algo", "size", "recipe")
"""The options on which the other options' defaults depend, with `planner.kind`."""
COMMON = ("env", "algo", "size", "recipe", "steps", "seed", "num_seeds", "workers")
"""The options that the short help explains."""
ABOUT = """Train a method. The same command again resumes the run, more --steps extend it. Options left out have the
values of the size and the recipe."""


def run(words: list[str]) -> None:
    """Train as the words say."""
    parts = split([word for word in words if word not in HELP], PROG)
    if parts.positionals:
        raise UsageError(f"{parts.positionals[0]!r} is no option; options begin with --, `{PROG} --help` lists them")
    folder, file = (parts.given.pop(name, None) for name in ("run", "config"))
    base = {} if file is None else read_config_file(Path(file))
    chosen = {name: parts.given.get(name, base.get(name, getattr(RunConfig(), name))) for name in IDENTITY}
    planner = parts.given.get("planner.kind", base.get("planner.kind"))
    if any(word in HELP for word in words):
        print(help_text(default_of(chosen, planner), everything="--help-all" in words))
        return
    config = resolve(parts, chosen, planner, base)
    from mag.runs.interrupt import Interrupted
    from mag.runs.train import train

    try:
        train(config, None if folder is None else Path(folder))
    except Interrupted as stop:
        sys.exit(stop.exit_code)


def resolve(parts: Words, chosen: dict[str, Any], planner: str | None, base: dict[str, Any]) -> RunConfig:
    """The configuration; mistakes that need no environment are told before one is looked at."""
    from mag import envs

    preview = default_of(chosen, planner)
    check_known(parts, preview)
    values = typed(parts, {option.name: option for option in options(preview)}, PROG)
    values = {**base, **values}
    counts = override(preview, {name: values[name] for name in ("num_seeds", "workers") if name in values})
    # Before the environment is looked at: a module of the user's may compute when it is imported.
    setup(max(1, counts.num_seeds), max(1, counts.workers))
    spec = envs.spec(chosen["env"])
    default = default_config(
        chosen["algo"], chosen["env"], chosen["size"], chosen["recipe"], planner=planner, spec=spec
    )
    resolved = {"size": default.size, "recipe": default.recipe}
    config = override(default, {**values, **resolved})
    validate(config)
    check_used(config, default)
    return config


def default_of(chosen: dict[str, Any], planner: str | None) -> RunConfig:
    """The defaults on a CPU: which device there is, JAX knows, and neither help nor mistakes wait for it."""
    size = "small" if chosen["size"] == "auto" else chosen["size"]
    return default_config(chosen["algo"], chosen["env"], size, chosen["recipe"], planner=planner)


def check_known(parts: Words, default: RunConfig) -> None:
    """Raise UsageError, with the reason, for an option of another method or of another kind of planner."""
    known = {option.name for option in options(default)}
    for name in parts.given:
        if name in known:
            continue
        for beginning, why in find(default.algo).unused(default).items():
            if name.startswith(beginning):
                raise UsageError(f"{default.algo} {why} and takes no option {spell(name)}; leave it out")
        for kind in KINDS:
            if name in {f"planner.{option.name}" for option in options(planner_config(kind))}:
                own = getattr(getattr(default, "planner", None), "kind", "none")
                raise UsageError(f"{spell(name)} belongs to --planner.kind {kind}, and the kind is {own}")


def read_config_file(path: Path) -> dict[str, Any]:
    """The options in a run's config.json, by name. UsageError where the file holds none."""
    try:
        content = json.loads(path.read_text())
        return flatten(content.get("config", content))
    except OSError as error:
        raise UsageError(f"--config is {path}, which cannot be read ({error.strerror})") from error
    except (ValueError, AttributeError) as error:
        raise UsageError(f"--config is {path}, which holds no configuration; give a run's config.json") from error


def help_text(config: RunConfig, *, everything: bool) -> str:
    """The help: the most used options, then the groups' names, or everything."""
    found = list(options(config))
    presets = (
        f"The values shown are those of {config.algo} on {config.env} in size {config.size}, recipe {config.recipe}."
    )
    lines = [f"usage: {PROG} [OPTIONS]", "", *wrap(ABOUT), "", *wrap(presets), ""]
    lines += [line for option in found if option.name in COMMON for line in describe(option)]
    lines += ["  --run DIR", *wrap("Run folder (default: runs/<env>-<algo>-<size>-<recipe>-seed<seed>).", 6)]
    lines += ["  --config FILE", *wrap("Take the options of a run's config.json; options given override them.", 6)]
    if not everything:
        lines += ["", "groups of options, explained by --help-all:"]
        return "\n".join([*lines, *groups(config)])
    for option in found:
        if option.name not in COMMON:
            lines += describe(option)
    return "\n".join(lines)


def groups(config: RunConfig) -> list[str]:
    """A line for each group: its name, and what it is about."""
    lines = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            about = (type(value).__doc__ or "").split("\n")[0]
            lines.append(f"  --{field.name.replace('_', '-') + '.*':16} {about}"[:80])
    return [*lines, f"  --precision {shown(config.precision)}"]
