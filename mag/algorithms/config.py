"""The options that every method has, and how a configuration is checked."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mag.errors import UsageError
from mag.options import check_bounds, choice, number
from mag.play.host_config import HostConfig

if TYPE_CHECKING:
    from mag.envs import EnvSpec

SEED_LIMIT = 2**31
"""Seeds are 32-bit integers."""
Size = Literal["paper", "small", "debug", "auto"]
Recipe = Literal["paper", "tuned", "auto"]
Precision = Literal["float32", "tensorfloat32"]


@dataclass(frozen=True)
class CollectConfig:
    """Line 3: playing in the real environment."""

    num_envs: int = number(1, least=1)
    """Environments played in parallel."""
    steps: int = number(60, least=1)
    """Steps of each environment in one iteration; in the paper one episode, about 60 steps."""
    time_limit: Literal["end", "cut"] = choice("end")
    """What a time limit means for learning: an episode's `end`, after which the value is 0, or a `cut`, after which
    more would have followed: model-free methods' returns bootstrap there, and MAG's critic skips such sequences."""
    nearest_first: bool = choice(False)
    """Whether each agent is shown its nearest enemy first, in observations and in the actions that attack; if not, all
    agents are shown the enemies in the battle's own order."""


@dataclass(frozen=True)
class EvaluationConfig:
    """Tests of the greedy policy in separate environments; test steps do not count as training steps."""

    every: int = number(10_000, least=1, source="SMAC")
    """Environment steps between two tests."""
    episodes: int = number(32, least=1, source="SMAC")
    """Episodes of a test."""


@dataclass(frozen=True)
class CheckpointConfig:
    """Saving the run so that it can be resumed."""

    every: float = number(60.0, least=0, source=None)
    """Seconds between two checkpoints; 0 saves after every iteration. The last state is always saved."""
    keep: int = number(2, least=1, source=None)
    """Checkpoints kept."""


@dataclass(frozen=True)
class RunConfig:
    """The options that every method has.

    An option that is added later has a plain default with which nothing changes: configurations written before it count
    as having it (`mag.runs.config_file.completed`).
    """

    env: str = "smac_jax/3s_vs_3z"
    """Environment, family/map; `mag envs` lists them."""
    algo: str = "mag"
    """Method: mag, mamba, attention-ppo, commnet, g2a, or the import path of your own module."""
    size: Size = "auto"
    """Networks, batches and updates: `paper`, `small` (for two cores) or `debug` (seconds); `auto` is `paper` on an
    accelerator and `small` elsewhere."""
    recipe: Recipe = "auto"
    """How to learn: `paper` (every number as published) or `tuned` (what learns best here); `auto` is `paper` with
    size `paper` and `tuned` with the others."""
    steps: int = number(100_000, least=1)
    """Real environment steps to train for; a finished run continues if the number is raised."""
    seed: int = number(0, least=0, source=None)
    """Random seed of the first run."""
    num_seeds: int = number(1, least=1, source=None)
    """Independent runs trained side by side in one process, with the seeds `seed`, `seed + 1`, ..."""
    workers: int = number(1, least=1)
    """Cores that share the learning and the tests of one seed, each with its part of every batch. With as many seeds
    as cores, 1 is faster."""
    precision: Precision = choice("float32", source=None)
    """How an accelerator multiplies matrices: in full `float32`, or in the faster `tensorfloat32` with 10 bits of
    mantissa; a CPU always multiplies in float32."""
    logger: Literal["files", "wandb"] = choice("files", source=None)
    """Where metrics go: `files` in the run folder (metrics.jsonl, TensorBoard); with `wandb` also Weights & Biases."""
    collect: CollectConfig = field(default_factory=CollectConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    host: HostConfig = field(default_factory=HostConfig)

    def check(self) -> None:
        """Raise UsageError, naming the values and what is allowed, where options cannot work together."""
        if self.seed + self.num_seeds > SEED_LIMIT:
            raise UsageError(f"seed is {self.seed}, the first of {self.num_seeds}; seeds must stay below {SEED_LIMIT}")

    def check_for(self, spec: "EnvSpec") -> None:
        """Raise UsageError where an option cannot work on the environment with this spec."""
        from mag.envs.nearest_first import with_nearest_first

        if self.collect.nearest_first:
            with_nearest_first(spec)


def validate(config: RunConfig) -> None:
    """Raise UsageError, naming the value and what is allowed, for options out of bounds or in conflict."""
    check_bounds(config)
    for group in groups(config):
        if callable(check := getattr(group, "check", None)):
            check()


def groups(config: Any) -> Iterator[Any]:
    """A configuration and the groups of options within it."""
    yield config
    for each in dataclasses.fields(config):
        if dataclasses.is_dataclass(value := getattr(config, each.name)):
            yield from groups(value)


def check_heads(hidden: int, heads: int) -> None:
    """Raise UsageError where the number of attention heads does not divide the hidden width."""
    if hidden % heads:
        raise UsageError(
            f"networks.hidden is {hidden} and networks.heads {heads}; the heads must divide the hidden width"
        )
