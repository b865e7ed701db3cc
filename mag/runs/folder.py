"""A run is a folder: configuration, metrics, checkpoints, figures. One process works on it at a time."""

import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mag.algorithms.config import RunConfig
from mag.errors import UsageError
from mag.runs.resolve import changed_options

LOCK = ".lock"
OURS = (LOCK, ".config", "wandb")
"""Beginnings of the names of files that a run which was refused may leave."""
REPLACED = ".replaced-"
"""Beginning of the name of a folder that another is about to replace (`replace`)."""
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


def policy_lost(folder: RunFolder) -> str:
    """What is said of a finished run without checkpoints."""
    return (
        f"{folder.path} holds a finished run, but no checkpoint is left, so the policy is lost: restore the folder "
        f"{folder.checkpoints.name} from a copy, or train again in another folder (--run)"
    )


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
    strangers = [name for name in os.listdir(folder.path) if not name.startswith(OURS)]
    if strangers and not folder.config.exists():
        raise UsageError(
            f"{folder.path} holds other files ({sorted(strangers)[0]}) and no config.json, so it is not a "
            "run folder; choose an empty or new folder with --run"
        )


def take_lock(lock: Any, path: Path) -> None:
    """Lock the open file for this process; the system frees it however the process ends."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        raise UsageError(
            f"the run folder {path} is in use by process {owner}; wait for it or choose another with --run"
        ) from error
    except OSError as error:
        raise UsageError(
            f"the run folder {path} cannot be locked ({error.strerror}); put it on a file system that has locks"
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


def check_writable(out: Path) -> None:
    """Raise UsageError where the file cannot be written, before anything is computed."""
    problem = "it is a folder"
    if not out.is_dir():
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            with out.open("ab") if out.exists() else tempfile.TemporaryFile(dir=out.parent):
                return
        except OSError as error:
            problem = error.strerror or str(error)
    raise UsageError(f"cannot write {out} ({problem}); choose another file with --out")


def replace(place: Path, draft: Path) -> None:
    """Put the folder `draft` at `place`, beside it, where another may lie.

    If the process is killed meanwhile, `put_back` gives the other its place back.
    """
    put_back(place)
    old = _replaced(place)
    if place.exists():
        place.rename(old)
    draft.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def put_back(place: Path) -> None:
    """Undo a `replace` that was killed before the new folder had its place; remove what a later kill has left."""
    old = _replaced(place)
    if old.exists() and place.exists():
        shutil.rmtree(old, ignore_errors=True)
    elif old.exists():
        old.rename(place)


def _replaced(place: Path) -> Path:
    return place.with_name(REPLACED + place.name)
