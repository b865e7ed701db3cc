"""The memory that a run will take, checked before it starts."""

import os
from pathlib import Path

import jax

from mag.errors import UsageError
from mag.learning.parallel import device_grid

CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""File with a container's memory limit in bytes (Linux); it holds `max` if there is no limit."""

ADVICE = {
    "replay": "lower replay.capacity or workers",
    "planning": "lower planner.num_trajectories or rollout.chunk_size",
    "rollouts": "lower rollout.length or replay.batch_size",
    "networks": "lower networks.hidden or networks.categoricals",
    "segments": "lower collect.num_envs or collect.steps",
    "episodes": "lower evaluation.episodes",
    "learning": "raise learning.minibatches or lower networks.hidden",
}
"""What to change, by the part that takes the most memory; a method may have parts of its own."""


def check_memory(
    parts: dict[str, int], num_seeds: int, workers: int = 1, *, what: str = "this run", advice: str | None = None
) -> int:
    """Bytes that a run takes; `parts` are bytes of one seed. Raises UsageError if the machine has fewer.

    The message says `what` takes them and gives `advice`, by default which options of training to change.
    """
    needed, limit = num_seeds * sum(parts.values()), available(num_seeds, workers)
    if needed > limit:
        largest = max(parts, key=lambda part: parts[part])
        if advice is None:
            advice = f"{ADVICE.get(largest, 'lower the options that set its size')}, or num_seeds ({num_seeds})"
        raise UsageError(
            f"{what} would take about {gib(needed)} of memory, most of it ({gib(num_seeds * parts[largest])}) "
            f"for {largest}, but there are only {gib(limit)}; {advice}"
        )
    return needed


def available(num_seeds: int = 1, workers: int = 1) -> int:
    """Bytes a run may take: of its accelerators, or of main memory (its container's limit, where there is one)."""
    stats = jax.devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    if stats:
        grid = device_grid(num_seeds, workers)
        return grid.seeds * grid.workers * int(stats["bytes_limit"])
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(physical, int(CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):
        return physical


def gib(size: int) -> str:
    """A size in memory, in GiB or, below a tenth of one, in whole MiB, rounded up."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 / 10 else f"{-(-size // 2**20)} MiB"
