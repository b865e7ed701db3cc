"""A run is a folder: configuration, metrics, checkpoints, figures. One process works on it at a time."""

import dataclasses
import fcntl
import json
import os
from pathlib import Path
from typing import Any

from mag.algorithms.config import RunConfig
from mag.errors import UsageError

LOCK = ".lock"


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


def default_path(config: RunConfig) -> Path:
    """`runs/<env>-<algo>-<size>-<recipe>-seed<k>`."""
    env = config.env.replace("/", "_")
    return Path("runs") / f"{env}-{config.algo}-{config.size}-{config.recipe}-seed{config.seed}"


def check_ours(folder: RunFolder) -> None:
    """Raise UsageError where the folder holds something that is no run."""
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
    """Write a file for people to read, whole or not at all."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(json.dumps(value, indent=2) + "\n")
    draft.replace(path)
