"""What every method's configuration has in common, and how any configuration is checked."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from mag.errors import UsageError

Preset = Literal["auto", "paper", "cpu", "debug"]


@dataclass(frozen=True)
class CollectConfig:
    """Line 3: playing in the real environment."""

    num_envs: int = 1
    """Environments played in parallel (paper: 1)."""
    steps: int = 60
    """Steps of each environment in one iteration (paper: one episode, about 60)."""


@dataclass(frozen=True)
class EvaluationConfig:
    """Testing the greedy policy in separate environments; its steps do not count."""

    every: int = 10_000
    """Environment steps between two evaluations (SMAC: 10 000)."""
    episodes: int = 32
    """Episodes of an evaluation (SMAC: 32)."""


@dataclass(frozen=True)
class CheckpointConfig:
    """Saving the run so that it can be resumed."""

    every: float = 60.0
    """Seconds between two checkpoints, 0 for one after every iteration; the last state is always saved."""
    keep: int = 2
    """Checkpoints kept."""


@dataclass(frozen=True)
class RunConfig:
    """What every algorithm has in common."""

    env: str = "smac_jax/3s_vs_3z"
    """Environment, family/map; `mag envs` lists them."""
    algo: str = "mag"
    """Algorithm."""
    preset: Preset = "auto"
    """Defaults: `paper` has the paper's numbers, `cpu` is for two cores, `debug` for seconds; `auto` is `paper`
    where there is an accelerator and `cpu` elsewhere."""
    steps: int = 100_000
    """Real environment steps to train for; a finished run goes on when given more."""
    seed: int = 0
    """Random seed of the first run."""
    num_seeds: int = 1
    """Independent runs trained side by side in one process, with the seeds `seed`, `seed + 1`, ..."""
    workers: int = 1
    """Cores that share the learning and the tests of one seed, each with its part of every batch (paper: 1). Where
    there are as many seeds as cores, 1 is faster."""
    collect: CollectConfig = field(default_factory=CollectConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)

    def check(self) -> None:
        """Raise UsageError, naming the values and what is allowed, where they cannot work together."""


REWARD_SCALE = {"smax": 10.0}
"""Where an environment's returns do not reach SMAC's 20: SMAX's reach 2, and reward errors of a hundredth would
drown among the other terms of the models' loss."""


_LEAST = {
    "steps": 1,
    "seed": 0,
    "num_seeds": 1,
    "workers": 1,
    "num_envs": 1,
    "capacity": 1,
    "sequence_length": 3,
    "batch_size": 1,
    "hidden": 1,
    "deterministic": 1,
    "categoricals": 1,
    "classes": 2,
    "attention_layers": 0,
    "heads": 1,
    "batches": 1,
    "layers": 1,
    "rollouts": 1,
    "length": 1,
    "at_once": 0,
    "num_trajectories": 1,
    "horizon": 1,
    "epochs": 1,
    "minibatch": 1,
    "episodes": 1,
    "evaluation.every": 1,
    "checkpoint.every": 0,
    "keep": 1,
    "learning_rate": 0,
    "actor_learning_rate": 0,
    "critic_learning_rate": 0,
    "max_grad_norm": 0,
    "learning_starts": 0,
    "clip": 0,
    "entropy": 0,
    "weight_decay": 0,
    "reward_scale": 0,
    "reward_weight": 0,
    "reconstruction_weight": 0,
    "gate_hidden": 1,
    "attention": 1,
    "critic_hidden": 1,
    "rounds": 1,
    "minibatches": 1,
    "value_coefficient": 0,
    "target_every": 0,
    "epsilon_steps": 1,
}
"""Least value of the fields of that name, wherever they stand, or of one by its full name."""

_MOST = {"attention_layers": 100, "layers": 100, "rounds": 100}
"""Greatest value of the fields of that name: each is a part of the program that is compiled."""

SEED_LIMIT = 2**31
"""Seeds are 32-bit integers."""


def validate(config: RunConfig) -> None:
    """Raise UsageError, naming the value and what is allowed, for sizes that cannot work together."""
    for name, value in flatten(dataclasses.asdict(config)).items():
        least, most = (bounds.get(name, bounds.get(name.rpartition(".")[2])) for bounds in (_LEAST, _MOST))
        if least is not None and not value >= least:
            raise UsageError(f"{name} is {value}; it must be at least {least}")
        if most is not None and value > most:
            raise UsageError(f"{name} is {value}; it can be at most {most}")
    if config.seed + config.num_seeds > SEED_LIMIT:
        raise UsageError(f"seed is {config.seed}, the first of {config.num_seeds}; seeds must stay below {SEED_LIMIT}")
    if not math.isfinite(config.checkpoint.every):
        raise UsageError(f"checkpoint.every is {config.checkpoint.every}; it must be a finite number of seconds")
    config.check()


def check_heads(hidden: int, heads: int) -> None:
    """Raise UsageError where attention cannot be split into its heads."""
    if hidden % heads:
        raise UsageError(
            f"networks.hidden is {hidden} and networks.heads {heads}; the heads must divide the hidden width"
        )


def check_shares(shares: dict[str, float]) -> None:
    """Raise UsageError for one, given by its option's name, that does not lie between 0 and 1."""
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise UsageError(f"{name} is {share}; it must lie between 0 and 1")


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`, which is how options are called."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
