"""`mag train`: words in, a run out."""

import sys
from pathlib import Path
from typing import Any

from mag.algorithms.config import RunConfig
from mag.algorithms.registry import find
from mag.cli.parsing import HELP, HelpAsked, announce, entry, option_help, spelling, split, wrap
from mag.errors import UsageError
from mag.options import Option, options, values
from mag.runs.config_file import config_of
from mag.runs.resolve import PLANNER, Identity, identify, resolve
from mag.runs.zoo import config_at, is_entry

PROG = "mag train"
ABOUT = """Train a method. The same command again resumes the run, more --steps extend it. Options left out have the
values of size and recipe."""
FOLDER = """Run folder (default: runs/<env>-<algo>-<size>-<recipe>-seed<seed>, with options that differ from size and
recipe before the seed)."""
FILE = "Take the options of a run, given its folder, its config.json or zoo/NAME; other options given override them."


def run(words: list[str]) -> None:
    """Train as the words say."""
    asked = [word for word in words if word in HELP]
    parts = split([word for word in words if word not in HELP], PROG)
    if parts.positionals:
        raise UsageError(
            f"{parts.positionals[0]!r} is not an option; options begin with --, `{PROG} --help` lists them"
        )
    folder, file = (parts.given.pop(name, None) for name in ("run", "config"))
    base = None if file is None else base_config(Path(file))
    spell = spelling(parts.spelt)
    if asked:
        identity = identify(parts.given, base, spell)
        raise HelpAsked(all_help(identity) if "--help-all" in asked else short_help(identity))
    config = resolve(parts.given, base, spell, note=lambda text: print(text, file=sys.stderr))
    announce(f"preparing {config.algo} on {config.env}")
    from mag.runs.interrupt import Interrupted
    from mag.runs.train import train

    try:
        train(config, None if folder is None else Path(folder))
    except Interrupted as stop:
        sys.exit(stop.exit_code)


def base_config(path: Path) -> RunConfig:
    """The configuration of a run, given its folder or its config.json, or of `zoo/NAME`. UsageError where is none."""
    if is_entry(path):
        return config_at(path)
    file = path / "config.json" if path.is_dir() else path
    try:
        file.read_bytes()
    except OSError as error:
        raise UsageError(
            f"--config is {path}, which cannot be read ({error.strerror}); give a run's folder or its config.json"
        ) from error
    return config_of(file)


def short_help(identity: Identity) -> str:
    """The options that belong to no group, and the names of the groups."""
    lines = [*introduction(identity), *entries(identity, "")]
    lines += ["", "groups of options, listed by --help-all:"]
    for name, group in groups(identity).items():
        lines += wrap(about(group), indent=20, begin=f"  --{spelt(name) + '.*':16}")
    return "\n".join(lines)


def all_help(identity: Identity) -> str:
    """Every option, group by group, with the values that they have on the environment."""
    from mag import envs

    spec = envs.spec(identity.env)
    lines = [*introduction(identity), *entries(identity, "", spec, full=True)]
    for name, group in groups(identity).items():
        lines += ["", *wrap(f"{spelt(name)}: {about(group)}"), *entries(identity, name, spec, full=True)]
    return "\n".join(lines)


def introduction(identity: Identity) -> list[str]:
    """The beginning of the help: usage, what the command does, and the options `run` and `config`."""
    config = identity.preview()
    presets = (
        f"The values shown are those of {config.algo} on {config.env} in size {config.size}, recipe {config.recipe}."
    )
    lines = [f"usage: {PROG} [OPTIONS]", "", *wrap(ABOUT), "", *wrap(presets), ""]
    return [*lines, *entry("run DIR", FOLDER), *entry("config RUN", FILE)]


def entries(identity: Identity, group: str, spec: Any = None, *, full: bool = False) -> list[str]:
    """The lines of the options of a group, or of those that belong to none."""
    published = values(identity._replace(size="paper", recipe="paper").preview(spec))
    found = [option for option in used(identity.preview(spec)) if option.name.rpartition(".")[0] == group]
    return [line for option in found for line in option_help(option, published[option.name], full=full)]


def used(config: RunConfig) -> list[Option]:
    """The options that the method uses, and the planner's kind, which decides whether others are used."""
    unused = tuple(find(config.algo).unused(config))
    return [option for option in options(config) if option.name == PLANNER or not option.name.startswith(unused)]


def groups(identity: Identity) -> dict[str, Any]:
    """The groups of options by name."""
    config = identity.preview()
    names = dict.fromkeys(option.name.partition(".")[0] for option in used(config) if "." in option.name)
    return {name: getattr(config, name) for name in names}


def about(group: Any) -> str:
    """What a group of options is about: the first paragraph of its docstring."""
    return " ".join((type(group).__doc__ or "").partition("\n\n")[0].split())


def spelt(name: str) -> str:
    """An option or group as typed."""
    return name.replace("_", "-")
