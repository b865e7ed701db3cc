"""Models as Agents: model-based multi-agent reinforcement learning in JAX.

The public names are `plan` and `Plan`, the planner that plugs into any world model. Everything else is imported
from its module: `mag.envs.make`,
`mag.algorithms.registry.default_config`, `mag.algorithms.registry.make`, `mag.runs.train.train`.
"""

from typing import Any

__all__ = ["Plan", "plan"]


def __getattr__(name: str) -> Any:
    """Import the planner when it is asked for, so that `mag --help` does not wait for JAX."""
    if name in __all__:
        from mag.planners import shooting

        return getattr(shooting, name)
    raise AttributeError(f"module 'mag' has no attribute {name!r}")
