"""A trained run read back: its algorithm and the state of its newest usable checkpoint."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mag.algorithms.contract import Algorithm
from mag.runs.checkpoint import Checkpoints
from mag.algorithms.config import RunConfig
from mag.errors import UsageError
from mag.runs.progress import Progress
from mag.runs.folder import RunFolder
from mag.runs.config_file import load_config, noted_map
from mag.runs.train import build

Load = Callable[[RunFolder], RunConfig]


class Trained(NamedTuple):
    """A run as its newest checkpoint left it."""

    config: RunConfig
    algorithm: Algorithm
    state: Any
    """Of all seeds."""
    progress: Progress
    warnings: list[str]
    """One sentence for each newer checkpoint that could not be used."""


def load_run(path: Path, *, build: Callable[..., tuple[Algorithm, Any]] = build, load: Load = load_config) -> Trained:
    """The run in a folder. Raises UsageError where it holds no run or no usable checkpoint.

    A map from a file is built from its content as the run noted it: the file may have moved or be gone.
    Its algorithm has one worker, however many trained it: any machine can read it, and batches are whole.
    """
    folder = RunFolder(path)
    config = load(folder)
    content = noted_map(folder)
    rebuild = build if content is None else functools.partial(build, content=content)
    algorithm, state = rebuild(dataclasses.replace(config, workers=1))
    restored = Checkpoints(folder.checkpoints, config.checkpoint.keep).restore(state)
    if restored is None:
        raise UsageError(f"{path} has no checkpoint yet; give the `mag train` command that began it again")
    return Trained(config, algorithm, restored.state, Progress.from_json(restored.progress), restored.damaged)
