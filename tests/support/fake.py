"""The smallest method that can be trained (`--algo tests.support.fake`): weights that wander at random.

Run as a program this file trains it with a checkpoint after every iteration: `python -m tests.support.fake RUN STEPS
[PAUSE]`, where PAUSE is the seconds that an iteration takes.
"""

import dataclasses
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mag.algorithms.config import CheckpointConfig, CollectConfig, EvaluationConfig, RunConfig
from mag.algorithms.method import Method
from mag.algorithms.registry import default_config
from mag.envs import EnvSpec
from mag.learning.distributions import mask_logits
from mag.learning.parallel import Workers, per_seed
from mag.options import number
from mag.play.collecting import Played
from mag.types import TimeStep

NAME = "tests.support.fake"
FOUR_STEPS = "tests.support.fake_env/four_steps"


@dataclass(frozen=True)
class FakeConfig(RunConfig):
    """Seconds: 2 seeds, 4 transitions (the six items of an episode of `four_steps`) an iteration, tested every 12."""

    env: str = FOUR_STEPS
    algo: str = "fake"
    steps: int = number(40, least=1, source=None)
    num_seeds: int = number(2, least=1, source=None)
    collect: CollectConfig = field(default_factory=lambda: CollectConfig(num_envs=1, steps=6))
    evaluation: EvaluationConfig = field(default_factory=lambda: EvaluationConfig(every=12, episodes=5))
    checkpoint: CheckpointConfig = field(default_factory=lambda: CheckpointConfig(every=1e9, keep=2))
    breaks_at: int = number(-1, source=None)
    """Iteration, counted from 0, whose loss is NaN for the last seed."""
    spoils_weights: bool = False
    """Whether what is learned is NaN while the loss is not."""
    pause: float = number(0.0, least=0, source=None)
    """Seconds that an iteration takes."""


class FakeAgent(eqx.Module):
    """The action with the greatest weights by the first number observed; drawn at random where not greedy."""

    weights: Float[Array, "actions 2"]

    def initial_carry(self, key: Any) -> Any:
        return jnp.zeros(2)

    def act(self, key: Any, carry: Any, timestep: TimeStep, *, greedy: bool) -> Any:
        scores = mask_logits(timestep.obs[:, :1] * self.weights.sum(-1), timestep.avail)
        action = jnp.argmax(scores, -1) if greedy else jax.random.categorical(key, scores)
        return action.astype(jnp.int32), carry + 1


class FakeState(NamedTuple):
    """What is learned, with one array of every sort that a state may hold."""

    key: Any
    weights: Any
    count: Any
    empty: Any


class FakeAlgorithm:
    """`mag.algorithms.contract.Algorithm`."""

    def __init__(self, config: FakeConfig, spec: EnvSpec) -> None:
        self.config, self.spec = config, spec
        self.num_seeds, self.workers = config.num_seeds, Workers(config.workers)

    def footprint(self) -> dict[str, int]:
        return {}

    @per_seed()
    def init(self, key: Any) -> FakeState:
        key, key_weights = jax.random.split(key)
        weights = jax.random.normal(key_weights, (self.spec.n_actions, 2))
        return FakeState(key, weights, jnp.zeros((), jnp.int32), jnp.zeros((0, 2)))

    def agent(self, state: FakeState) -> FakeAgent:
        return FakeAgent(state.weights)

    def iteration(self, state: FakeState, play: Any) -> Any:
        time.sleep(self.config.pause)
        state, key = self.split(state)
        state, loss = self.learn(state, play(key, self.agent(state)))
        breaks = int(state.count[0]) == self.config.breaks_at + 1
        return state, {"models/loss": loss.at[-1].set(jnp.nan) if breaks else loss}

    @per_seed(donate=("state",))
    def split(self, state: FakeState) -> Any:
        key, key_play = jax.random.split(state.key)
        return state._replace(key=key), key_play

    @per_seed(donate=("state",))
    def learn(self, state: FakeState, played: Played) -> Any:
        """The weights wander, also with what was played: a run that goes on has to go on playing where it was."""
        key, key_noise = jax.random.split(state.key)
        noise = jax.random.normal(key_noise, state.weights.shape)
        weights = state.weights + 0.1 * noise + 0.01 * played.arrivals.reward.mean()
        loss = jnp.square(weights).sum()
        if self.config.spoils_weights:
            weights = weights * jnp.nan
        return FakeState(key, weights, state.count + 1, state.empty), loss


METHOD = Method("fake", FakeConfig, FakeAlgorithm)


def fake_config(algo: str = NAME, env: str = FOUR_STEPS, **changes: Any) -> Any:
    """The options of this method, or of another one that shares them."""
    return dataclasses.replace(default_config(algo, env, "debug", "tuned"), **changes)


def main() -> None:
    """Train with a checkpoint after every iteration."""
    from mag.runs.interrupt import Interrupted
    from mag.runs.train import train

    path, steps, *pause = sys.argv[1:]
    seconds = float(pause[0]) if pause else 0.0
    config = fake_config(steps=int(steps), checkpoint=CheckpointConfig(every=0.0), pause=seconds)
    try:
        train(config, Path(path))
    except Interrupted as stop:
        sys.exit(stop.exit_code)


if __name__ == "__main__":
    main()
