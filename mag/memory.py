"""How much memory a run will take, said before it starts rather than found out in the middle."""

import os
from pathlib import Path

import jax

from mag.config import MAGConfig
from mag.envs import EnvSpec
from mag.errors import UsageError
from mag.rollout import starts_at_once

NUMBER = 4
"""Bytes of a float32 or int32."""


def check_memory(config: MAGConfig, spec: EnvSpec) -> None:
    """Raise UsageError where the estimate of a run's memory exceeds what the machine has."""
    parts = estimate(config, spec)
    needed, limit = sum(parts.values()), available()
    if needed > limit:
        largest = max(parts, key=lambda part: parts[part])
        advice = {
            "replay": "lower replay.capacity",
            "planning": "lower planning.num_trajectories or rollout.at_once",
            "rollouts": "lower rollout.length or replay.batch_size",
            "networks": "lower networks.hidden or networks.categoricals",
        }[largest]
        raise UsageError(
            f"this run would take about {_gib(needed)} of memory, most of it ({_gib(parts[largest])}) for {largest}, "
            f"and there are {_gib(limit)}; {advice}, or num_seeds ({config.num_seeds})"
        )


def estimate(config: MAGConfig, spec: EnvSpec) -> dict[str, int]:
    """Bytes by part, for all seeds: what is held, and the largest thing computed at once. Right to a factor of 2."""
    networks, replay = config.networks, config.replay
    latent, hidden = networks.categoricals * networks.classes, networks.hidden
    item = spec.n_agents * (spec.obs_dim * NUMBER + spec.n_actions + 2 * NUMBER) + 3 * NUMBER
    starts = replay.batch_size * (replay.sequence_length - 2)
    trajectories = config.planning.num_trajectories if config.algo == "mag" else 1
    side_by_side = min(starts, starts_at_once(config.rollout, starts, spec.n_agents * trajectories))
    state = (networks.deterministic + networks.categoricals) * NUMBER + spec.n_actions
    working = (3 * latent + 12 * hidden) * NUMBER  # one agent's activations in one prediction
    weights = (6 * latent + (12 + 8 * networks.attention_layers) * hidden + spec.obs_dim) * hidden
    parts = {
        "replay": replay.capacity * item,
        "planning": side_by_side * trajectories * spec.n_agents * working,
        "rollouts": 2 * starts * config.rollout.length * spec.n_agents * state,
        "networks": 4 * weights * NUMBER
        + replay.batch_size * replay.sequence_length * spec.n_agents * 12 * (latent + hidden) * NUMBER,
    }
    return {part: config.num_seeds * size for part, size in parts.items()}


def available() -> int:
    """Bytes a run may take: of the accelerator, or of main memory (its container's limit, where there is one)."""
    stats = jax.devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    if stats:
        return int(stats["bytes_limit"])
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    try:
        return min(physical, int(limit.read_text()))
    except (OSError, ValueError):
        return physical


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
