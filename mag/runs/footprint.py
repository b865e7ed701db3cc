"""How much memory a run will take, said before it starts rather than found out in the middle."""

import os
from pathlib import Path
from typing import Any

import jax

from mag.algorithms.mag.config import MAGConfig
from mag.envs import EnvSpec
from mag.errors import UsageError
from mag.algorithms.mag.rollout import starts_at_once

NUMBER = 4
"""Bytes of a float32 or int32."""
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Where Linux keeps the most bytes that a container may take; `max` where that is all there are."""

ADVICE = {
    "replay": "lower replay.capacity or workers",
    "planning": "lower planning.num_trajectories or rollout.at_once",
    "rollouts": "lower rollout.length or replay.batch_size",
    "networks": "lower networks.hidden or networks.categoricals",
    "segments": "lower collect.num_envs or collect.steps",
    "episodes": "lower the number of test episodes",
    "learning": "raise learning.minibatches or lower networks.hidden",
}
"""What to change, by the part that takes most."""


def check_memory(parts: dict[str, int], num_seeds: int) -> None:
    """Raise UsageError where a run's parts, in bytes for each seed, exceed what the machine has."""
    needed, limit = num_seeds * sum(parts.values()), available()
    if needed > limit:
        largest = max(parts, key=lambda part: parts[part])
        raise UsageError(
            f"this run would take about {_gib(needed)} of memory, most of it ({_gib(num_seeds * parts[largest])}) "
            f"for {largest}, and there are {_gib(limit)}; {ADVICE[largest]}, or num_seeds ({num_seeds})"
        )


def estimate(config: MAGConfig, spec: EnvSpec) -> dict[str, int]:
    """Bytes of a seed of MAG by part: what is held, and the largest thing computed at once. Right to a factor of 2.

    Each worker has a D_e and networks of its own; of what it computes, its part.
    """
    networks, replay = config.networks, config.replay
    latent, hidden = networks.categoricals * networks.classes, networks.hidden
    item = item_size(spec)
    starts = replay.batch_size * (replay.sequence_length - 2)
    trajectories = config.planning.num_trajectories if config.algo == "mag" else 1
    side_by_side = min(starts, config.workers * starts_at_once(config.rollout, starts, spec.n_agents * trajectories))
    state = (networks.deterministic + networks.categoricals) * NUMBER + spec.n_actions
    working = (3 * latent + 12 * hidden) * NUMBER  # one agent's activations in one prediction
    weights = (6 * latent + (12 + 8 * networks.attention_layers) * hidden + spec.obs_dim) * hidden
    return {
        "replay": config.workers * replay.capacity * item,
        "planning": side_by_side * trajectories * spec.n_agents * working,
        "rollouts": 2 * starts * config.rollout.length * spec.n_agents * state,
        "networks": config.workers * 4 * weights * NUMBER
        + replay.batch_size * replay.sequence_length * spec.n_agents * 12 * (latent + hidden) * NUMBER,
    }


def item_size(spec: EnvSpec) -> int:
    """Bytes of one step of an environment, without its global state."""
    return spec.n_agents * (spec.obs_dim * NUMBER + spec.n_actions + 2 * NUMBER) + 3 * NUMBER


def size_of(arrays: Any) -> int:
    """Bytes of a pytree of arrays, or of their shapes."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(arrays))


def available() -> int:
    """Bytes a run may take: of the accelerator, or of main memory (its container's limit, where there is one)."""
    stats = jax.devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    if stats:
        return int(stats["bytes_limit"])
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(physical, int(CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):
        return physical


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
