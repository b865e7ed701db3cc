"""A run's config.json: its configuration, map content, versions and hardware, written, read back and compared."""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mag.algorithms.config import RunConfig
from mag.algorithms.registry import default_config
from mag.errors import UsageError
from mag.options import convert, field_types, flatten, to_json
from mag.runs.folder import (
    CHANGEABLE,
    LOCK,
    RunFolder,
    check_ours,
    take_lock,
    write_json,
)
from mag.runs.surroundings import surroundings

DECIDING = ("algo", "env", "size", "recipe")
"""Fields that decide the defaults of the others."""
MOST = 6
"""Most fields that a message names."""
NOTED = ("map", "game")
"""Keys of config.json for what a run stores of its environment: a map file's content, and `mag.envs.notes`."""


@contextmanager
def claim(path: Path, config: RunConfig) -> Iterator[RunFolder]:
    """Make the folder, or check that it holds the same run, and keep other processes out while entered.

    Raises UsageError where it cannot be written, is in use, holds other things, or holds a run of another
    configuration. Where something is missing that the environment needs, no folder is made; a new run that is refused
    later, but before it began, leaves no configuration behind.
    """
    folder, noted = RunFolder(path), environment(config)
    try:
        path.mkdir(parents=True, exist_ok=True)
        check_ours(folder)
        lock = (path / LOCK).open("a+")
    except OSError as error:
        raise UsageError(
            f"cannot write to the run folder {path} ({error.strerror}); choose another with --run"
        ) from error
    with lock:
        take_lock(lock, path)
        resumed = folder.config.exists()
        if resumed:
            check_same(read_config(folder), config, folder)
        else:
            write_config(folder, config, surroundings(config) | noted)
        try:
            yield folder
        except UsageError:
            if not resumed and not folder.metrics.exists():
                folder.config.unlink()
            raise


def check_same(about: dict[str, Any], config: RunConfig, folder: RunFolder) -> None:
    """Raise UsageError naming the fields in which the folder's run differs from `config`, or its map from the file.

    Where `DECIDING` differs, only that is named, for most other fields follow from it.
    """
    old, new = about["config"], to_json(config)
    alike = all(old[name] == new[name] for name in DECIDING)
    old, new = flatten(completed(old) if alike else old), flatten(new)
    noted = {name: about[name] for name in NOTED if name in about}
    if noted and old["env"] == new["env"]:
        now = {name: value for name, value in environment(config).items() if name in noted}
        old, new = old | flatten(noted), new | flatten(now)
    fields = [name for name in sorted(old | new) if name.split(".")[0] not in CHANGEABLE]
    missing = "nothing"
    differing = [name for name in fields if old.get(name, missing) != new.get(name, missing)]
    differing = [name for name in differing if name in DECIDING] or differing
    if differing:
        named = [f"{name} (run: {old.get(name, missing)}, command: {new.get(name, missing)})" for name in differing]
        more = f" and {len(named) - MOST} more" if len(named) > MOST else ""
        way_out = (
            "give the same values to resume it" if folder.checkpoints.exists() else "delete it, for nothing was saved"
        )
        raise UsageError(
            f"{folder.path} holds a run of another configuration, differing in {', '.join(named[:MOST])}{more}; "
            f"{way_out}, or give another --run"
        )


def load_config(folder: RunFolder) -> RunConfig:
    """The configuration of the run in a folder; UsageError where there is none."""
    if not folder.config.is_file():
        raise UsageError(f"{folder.path} is not a run folder (it has no config.json); `mag train --run` makes one")
    return config_of(folder.config)


def config_of(file: Path) -> RunConfig:
    """The configuration in a run's config.json, wherever it lies; UsageError where the file holds none."""
    values = completed(read_file(file)["config"])
    planner = values.get("planner", {}).get("kind")
    default = default_config(*(values[name] for name in DECIDING), planner=planner)
    config: RunConfig = replace(default, values, file)
    return config


def completed(values: dict[str, Any]) -> dict[str, Any]:
    """A run's configuration with the options that were added after it, as published: with these nothing changed.

    Raises UsageError for an unknown method or planner.
    """
    planner = values.get("planner", {}).get("kind")
    plain = to_json(default_config(values["algo"], values["env"], "paper", "paper", planner=planner))
    groups = {
        name: plain[name] | each
        for name, each in values.items()
        if isinstance(each, dict) and isinstance(plain.get(name), dict)
    }
    return plain | values | groups


def replace(default: Any, values: dict[str, Any], file: Path) -> Any:
    """The dataclass `default` with every field from `values`; UsageError where fields or their types differ."""
    names = {field.name for field in dataclasses.fields(default)}
    if names != set(values):
        raise UsageError(
            f"{file} was written by another program version (it differs in the field "
            f"{sorted(names ^ set(values))[0]}); use the version that wrote it"
        )
    cls: type = type(default)
    new, kinds = {}, field_types(cls)
    for name, value in values.items():
        old = getattr(default, name)
        if dataclasses.is_dataclass(old) and isinstance(value, dict):
            new[name] = replace(old, value, file)
            continue
        try:
            new[name] = convert(name, kinds[name], value)
        except UsageError:
            given = f"{name} is {value!r}"
            raise UsageError(f"{file} is not a run's configuration ({given}); choose another folder") from None
    return dataclasses.replace(default, **new)


def read_config(folder: RunFolder) -> dict[str, Any]:
    """The config.json of a run: its configuration and all else that it holds."""
    return read_file(folder.config)


def read_file(file: Path) -> dict[str, Any]:
    """The content of a run's config.json, wherever it lies; UsageError if it is something else."""
    try:
        values = json.loads(file.read_text())
        config = values["config"]
        texts = all(isinstance(config[name], str) for name in DECIDING)
        texts &= isinstance(config.get("planner", {}), dict)
        earlier = values.get("resumed", [{}])
        maps = all(isinstance(values.get(name, {}), dict) for name in NOTED)
        lists = isinstance(earlier, list) and earlier and all(isinstance(each, dict) for each in earlier)
        if not (texts and lists and maps and isinstance(config["steps"], int)):
            raise TypeError
        return values
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{file} is not a run's configuration; restore it from a copy, or choose another run"
        ) from error


def write_config(folder: RunFolder, config: RunConfig, about: dict[str, Any]) -> None:
    """Write config.json."""
    write_json(folder.config, {**about, "config": to_json(config)})


def environment(config: RunConfig) -> dict[str, Any]:
    """What can change while an environment's name stays the same: `map`, a map file's content, and `game`, its notes.

    Both are left out if the name decides everything. Raises UsageError if something that is needed is missing.
    """
    from mag import envs  # loads JAX, which a mistaken folder need not wait for

    content = envs.content(config.env)
    noted = {"map": content, "game": envs.notes(config.env, content)}
    return {name: value for name, value in noted.items() if value is not None}


def noted_map(folder: RunFolder) -> dict[str, Any] | None:
    """The content of the run's map file when the run started; None for a map that comes from no file."""
    content: dict[str, Any] | None = read_config(folder).get("map")
    return content


def extend(folder: RunFolder, config: RunConfig) -> None:
    """Write the configuration with which the folder's run goes on: its steps are the most that were ever asked for."""
    about = read_config(folder)
    write_config(folder, dataclasses.replace(config, steps=max(config.steps, about["config"]["steps"])), about)


def note_resumed(folder: RunFolder, config: RunConfig) -> str | None:
    """If versions, hardware, revision or plug-ins changed since the run last trained, note that and return a
    sentence."""
    about, now = read_config(folder), surroundings(config)
    before = about.get("resumed", [about])[-1]
    own, owned = now.get("plugins", {}), before.get("plugins", {})
    different = [name for name in ("versions", "hardware", "revision") if before.get(name) != now[name]]
    different += [name for name in own if name in owned and own[name] != owned[name]]
    if not different:
        return None
    write_json(folder.config, {**about, "resumed": [*about.get("resumed", []), now]})
    return f"{' and '.join(different)} changed since this run last trained: it need not repeat bit for bit"
