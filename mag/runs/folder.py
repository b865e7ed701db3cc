"""A run is a folder: configuration, metrics, checkpoints, figures. One process works on it at a time."""

import dataclasses
import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from mag.algorithms.config import RunConfig
from mag.errors import UsageError
from mag.runs.resolve import changed_options

LOCK = ".lock"
CHANGEABLE = ("steps", "checkpoint", "host", "logger")
"""Fields and groups that may differ when a run is resumed: none but `host.overlap` changes what is learned."""


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Where the files of a run lie."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def events(self) -> Path:
        return self.path / "events"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def curve(self) -> Path:
        return self.path / "curve.png"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"


LONGEST = 80
"""Characters of changed options in a folder's name; more are shortened to a hash."""


def default_path(config: RunConfig) -> Path:
    """`runs/<env>-<algo>-<size>-<recipe>[-<option>=<value>...]-seed<k>`, with the options that differ from the preset.

    Options that may differ when a run is resumed (`CHANGEABLE`) are left out. Raises UsageError where there is no such
    environment.
    """
    changed = [
        f"{name}={value}"
        for name, value in changed_options(config).items()
        if name.partition(".")[0] not in (*CHANGEABLE, "seed")
    ]
    label = "-".join(changed).replace("/", "_")
    if len(label) > LONGEST:
        label = hashlib.sha256(label.encode()).hexdigest()[:12]
    name = [config.env, config.algo, config.size, config.recipe, *([label] if label else []), f"seed{config.seed}"]
    return Path("runs") / "-".join(name).replace("/", "_")


def check_ours(folder: RunFolder) -> None:
    """Raise UsageError if the folder holds files but no run."""
    strangers = [name for name in os.listdir(folder.path) if not name.startswith((LOCK, ".config"))]
    if strangers and not folder.config.exists():
        raise UsageError(
            f"{folder.path} holds other files ({sorted(strangers)[0]}) and no config.json, so it is not a "
            "run folder; choose an empty or new folder with --run"
        )


def take_lock(lock: Any, path: Path) -> None:
    """Lock the open file for this process; the system frees it however the process ends."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        raise UsageError(
            f"the run folder {path} is in use by process {owner}; wait for it or choose another with --run"
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> Path:
    """Write a file, whole or not at all; returns its path."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(text)
    return draft.replace(path)
