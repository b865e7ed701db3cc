"""A trained run read back: its algorithm, its player, and the state of its newest usable checkpoint."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import jax

from mag.algorithms import registry
from mag.algorithms.config import RunConfig
from mag.algorithms.contract import Algorithm
from mag.algorithms.mag.config import MAGConfig
from mag.errors import UsageError
from mag.options import override
from mag.play.player import Player
from mag.runs import zoo
from mag.runs.checkpoint import Checkpoints
from mag.runs.config_file import load_config, noted_map
from mag.runs.folder import RunFolder, policy_lost
from mag.runs.progress import Progress
from mag.runs.setup import RunState, set_up
from mag.runs.weights import with_weights


class Trained(NamedTuple):
    """A run as its newest checkpoint left it."""

    config: RunConfig
    algorithm: Algorithm
    player: Player
    state: RunState
    progress: Progress
    warnings: list[str]
    """One sentence for each newer checkpoint that could not be used."""


def load_run(path: Path) -> Trained:
    """The run in a folder, or an entry `zoo/NAME`. Raises UsageError where there is no run or no usable checkpoint.

    A map from a file is built from the content that the run stored: the file may have moved or be gone.
    The algorithm has one worker, however many trained it: any machine can read the run, and batches are whole.
    """
    if zoo.is_entry(path):
        return load_entry(path)
    folder = RunFolder(path)
    config = load_config(folder)
    setup, state = set_up(dataclasses.replace(config, workers=1), noted_map(folder), to_read=True)
    restored = Checkpoints(folder.checkpoints, config.checkpoint.keep).restore(state)
    if restored is None:
        if folder.summary.exists():
            raise UsageError(policy_lost(folder))
        raise UsageError(f"{path} has no checkpoint yet; give the `mag train` command that began it again")
    progress = Progress.from_json(restored.progress)
    return Trained(config, setup.algorithm, setup.player, restored.state, progress, restored.damaged)


def place_of(seed: int | None, config: RunConfig, path: Path) -> int:
    """The index of `seed` among the run's seeds; 0 if `seed` is None. Raises UsageError for a seed of no run here."""
    first, count = config.seed, config.num_seeds
    if seed is not None and not first <= seed < first + count:
        raise UsageError(f"seed is {seed}; the run in {path} has the seeds {first} to {first + count - 1}")
    return 0 if seed is None else seed - first


def load_seed(path: Path, seed: int | None = None) -> Trained:
    """One seed of the run in a folder, by default its first, to be measured; the player is still that of all seeds.

    Raises UsageError as `load_run`, and where the run has no such seed.
    """
    run = load_run(path)
    place = place_of(seed, run.config, path)
    if run.config.num_seeds == 1:
        return run
    config = dataclasses.replace(run.config, seed=run.config.seed + place, num_seeds=1)
    algorithm = registry.make(dataclasses.replace(config, workers=1), run.algorithm.spec)
    state = jax.tree.map(lambda x: x[place : place + 1], run.state)
    progress = dataclasses.replace(run.progress, env_steps=[run.progress.env_steps[place]])
    return run._replace(config=config, algorithm=algorithm, state=state, progress=progress)


def load_entry(path: Path) -> Trained:
    """An entry of the zoo as a run of one seed, whose optimisers are new and whose D_e is empty, and small."""
    entry = zoo.entry(path)
    setup, state = set_up(without_data(entry.config), entry.content, to_read=True)
    state = state._replace(learner=with_weights(state.learner, entry.weights))
    progress = Progress.start(1)
    progress.iteration, progress.env_steps = entry.made["iteration"], [entry.made["env_steps"]]
    return Trained(entry.config, setup.algorithm, setup.player, state, progress, [])


def without_data(config: RunConfig) -> RunConfig:
    """The configuration with the smallest D_e that holds an iteration, and the sequences drawn from it."""
    if not isinstance(config, MAGConfig):
        return config
    capacity = max(config.collect.steps, *config.lengths_drawn().values()) * config.collect.num_envs
    return override(config, {"replay.capacity": capacity, "replay.learning_starts": 0})
