"""Trained policies in small files: the weights of one seed of a run, without its data and optimisers.

An entry is a folder `mag/zoo/NAME` of this package with `weights.npz` (half precision) and `config.json` (options, map
and what made it). `mag watch`, `mag evaluate`, `mag train --config` and `mag.load`
take `zoo/NAME` as they take a run; `mag.runs.export` makes entries.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

from mag.algorithms.config import RunConfig
from mag.algorithms.registry import find
from mag.errors import UsageError
from mag.options import did_you_mean, options, override
from mag.planners.config import planner_config
from mag.runs.config_file import load_config, noted_map
from mag.runs.folder import RunFolder

PREFIX = "zoo"
FOLDER = Path(__file__).parents[1] / PREFIX
"""Where the package's entries lie."""


class Entry(NamedTuple):
    """A trained policy in the zoo."""

    folder: Path
    config: RunConfig
    content: dict[str, Any] | None
    """A map file's content; None for a map that comes from no file."""
    made: dict[str, Any]
    """The command, environment steps, iterations and last test of the run that it was taken from."""

    @property
    def weights(self) -> Path:
        """The file with the weights."""
        return self.folder / "weights.npz"


def names() -> list[str]:
    """The names of all entries."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def is_entry(path: Path) -> bool:
    """Whether a path means an entry: `zoo/NAME`, unless the user has a folder of that name."""
    return len(path.parts) == 2 and path.parts[0] == PREFIX and not path.exists()


def entry(path: Path) -> Entry:
    """The entry `zoo/NAME`. Raises UsageError if there is none, or if another version of the program made it."""
    if path.name not in names():
        known = ", ".join(f"{PREFIX}/{name}" for name in names()) or "none"
        raise UsageError(
            f"{path} is not a folder and not in the zoo{did_you_mean(path.name, names())}; there are {known}"
        )
    folder = FOLDER / path.name
    told = json.loads((folder / "config.json").read_text())
    config: Any = find(told["options"]["algo"]).config()
    if kind := told["options"].get("planner.kind"):
        config = dataclasses.replace(config, planner=planner_config(kind))
    unknown = sorted(set(told["options"]) - {option.name for option in options(config)})
    if unknown:
        raise UsageError(
            f"{path} was made by another program version (it has the option {unknown[0]}); make it again from a run"
        )
    return Entry(folder, override(config, told["options"]), told.get("map"), told["made"])


def config_at(path: Path) -> RunConfig:
    """The configuration of a run in a folder, or of an entry of the zoo. Raises UsageError if `path` is neither."""
    return entry(path).config if is_entry(path) else load_config(RunFolder(path))


def map_at(path: Path) -> dict[str, Any] | None:
    """The content of the map file that a run or an entry stored; None for a map that comes from no file."""
    return entry(path).content if is_entry(path) else noted_map(RunFolder(path))
