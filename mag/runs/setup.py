"""What a run is made of: an algorithm that learns, a player that plays, and the state of both."""

from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jaxtyping import PRNGKeyArray

from mag import envs
from mag.algorithms import registry
from mag.algorithms.config import RunConfig, validate
from mag.algorithms.contract import Algorithm, CompilesAhead
from mag.errors import UsageError
from mag.learning.parallel import seed_keys
from mag.play.ahead import AheadPlayer
from mag.play.host import HostPlayer
from mag.play.jax_player import JaxPlayer
from mag.play.player import Player
from mag.runs.footprint import check_memory, gib
from mag.runtime import cores_told, set_precision

PLAYERS = 4
"""Index of the players' key among the keys split from a seed's key; the others are the algorithm's."""


class Setup(NamedTuple):
    """The algorithm and the player of a run."""

    algorithm: Algorithm
    player: Player
    size: int
    """Bytes that the run will take, estimated."""


class RunState(NamedTuple):
    """Everything that a checkpoint holds, with a leading seed axis."""

    learner: Any
    """The algorithm's state."""
    players: Any
    """The environments under way."""


def set_up(
    config: RunConfig,
    content: dict[str, Any] | None = None,
    *,
    ahead: Executor | None = None,
    to_read: bool = False,
) -> tuple[Setup, RunState]:
    """Algorithm, player and their state before the first iteration; UsageError where sizes are impossible.

    `content` is a map file's content as the run stored it, used instead of the file. In the threads `ahead` the
    algorithm begins to compile its learning. A run `to_read` is not trained, so its sizes are as they are.
    """
    validate(config)
    set_precision(config.precision)
    player = make_player(config, content)
    algorithm = registry.make(config, player.spec)
    episodes = config.evaluation.episodes * player.footprint()["episode"]
    parts = {**algorithm.footprint(), "episodes": episodes}
    told = {"what": "reading this run", "advice": "it takes a machine with more"} if to_read else {}
    size = check_memory(parts, config.num_seeds, config.workers, **told)
    keys = seed_keys(config.seed, config.num_seeds)
    if ahead is not None and isinstance(algorithm, CompilesAhead):
        algorithm.compile_ahead(ahead, keys)
    learner = algorithm.init(keys)
    players = player.start(jax.vmap(player_key)(keys), algorithm.agent(learner))
    return Setup(algorithm, player, size), RunState(learner, players)


def make_player(config: RunConfig, content: dict[str, Any] | None = None) -> Player:
    """The player of the environment that a configuration names."""
    sizes: dict[str, Any] = {
        "num_envs": config.collect.num_envs,
        "steps": config.collect.steps,
        "num_seeds": config.num_seeds,
        "workers": config.workers,
        "limit_ends": config.collect.time_limit == "end",
    }
    if envs.is_host(config.env):
        if jax.process_count() > 1:
            raise UsageError(f"{config.env} is played on the host; only one process can train on it")
        spec = envs.spec(config.env, content, nearest_first=config.collect.nearest_first)
        player = HostPlayer(spec, config=config.host, content=content, **sizes)
        return AheadPlayer(player) if config.host.overlap else player
    return JaxPlayer(envs.make(config.env, content, nearest_first=config.collect.nearest_first), **sizes)


def player_key(key: PRNGKeyArray) -> PRNGKeyArray:
    """The key of a seed's players."""
    return jax.random.split(key, PLAYERS + 1)[PLAYERS]


def headline(config: RunConfig, setup: Setup, folder: Path) -> str:
    """One line on what runs, where, and how much memory it takes."""
    seeds = f"seed {config.seed}"
    if config.num_seeds > 1:
        seeds = f"seeds {config.seed} to {config.seed + config.num_seeds - 1}"
    return (
        f"training {config.algo} on {config.env}, size {config.size}, recipe {config.recipe}, {seeds}, "
        f"on {device()}, about {gib(setup.size)} of memory, in {folder}"
    )


def device() -> str:
    """The accelerator that is used, or the CPU with the cores given to this process."""
    processes = f" in each of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    kind = cores_told() if jax.default_backend() == "cpu" else jax.devices()[0].device_kind
    return f"{jax.default_backend().upper()} ({kind}){processes}"
