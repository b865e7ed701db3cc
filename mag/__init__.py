"""Models as Agents: model-based multi-agent reinforcement learning in JAX.

    import mag

    mag.train(env="smac_jax/3s_vs_3z", algo="mag", run="runs/first", steps=20_000)
    policy = mag.load("runs/first")
    action = policy.act(observation, available, first=True)     # arrays [agents, obs] and [agents, actions]

`make` makes an environment by name. `plan` is the paper's planner, for any world model; it returns a `Plan`.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mag.envs import make
    from mag.planners.contract import Plan
    from mag.planners.shooting import plan
    from mag.runs.api import load, train

__all__ = ["Plan", "load", "make", "plan", "train"]
__version__ = metadata.version("models-as-agents")

_HOMES = {
    "Plan": "mag.planners.contract",
    "load": "mag.runs.api",
    "make": "mag.envs",
    "plan": "mag.planners.shooting",
    "train": "mag.runs.api",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that `mag --help` does not wait for JAX."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mag' has no attribute {name!r}")
