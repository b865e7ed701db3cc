"""The smallest algorithm that the host loop can train: a few arrays, a key, and a two-agent game of its own.

Run as a program it is `mag train` with this algorithm: `python -m tests.support.fake RUN STEPS [PAUSE]`, where PAUSE
is the seconds that an iteration takes.
"""

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mag.algorithms.config import CheckpointConfig, CollectConfig, EvaluationConfig, RunConfig
from mag.envs import EnvSpec
from mag.types import Episodes, TimeStep


class FakeEnv:
    """Ends after 1 to `episode_limit` steps; each pays the mean action, long episodes are won."""

    spec = EnvSpec(
        name="fake/drawn_length",
        n_agents=2,
        obs_dim=1,
        state_dim=None,
        n_actions=3,
        episode_limit=6,
        has_masks=False,
        has_wins=True,
    )

    def reset(self, key: Any) -> tuple[Any, TimeStep]:
        left = jax.random.randint(key, (), 1, self.spec.episode_limit + 1)
        return (left, jnp.zeros((), jnp.int32)), self.show(left, jnp.zeros(()), True, False, False)

    def step(self, key: Any, state: Any, action: Any) -> tuple[Any, TimeStep]:
        left, played = state[0] - 1, state[1] + 1
        ended = left == 0
        won = ended & (played > self.spec.episode_limit // 2)
        return (left, played), self.show(left, action.mean(dtype=jnp.float32), False, ended, won)

    def show(self, left: Any, reward: Any, first: Any, ended: Any, won: Any) -> TimeStep:
        return TimeStep(
            obs=jnp.full((2, 1), left, jnp.float32),
            avail=jnp.ones((2, 3), bool),
            alive=jnp.ones(2, bool),
            reward=reward,
            first=jnp.asarray(first),
            terminated=jnp.asarray(ended),
            truncated=jnp.zeros((), bool),
            won=jnp.asarray(won),
            state=None,
        )


class FakeState(NamedTuple):
    key: Any
    weights: Any
    count: Any
    empty: Any


@dataclasses.dataclass(frozen=True, eq=False)
class FakeAlgorithm:
    """Weights that wander at random; one environment, an episode of two steps after the other."""

    config: RunConfig
    env: Any = dataclasses.field(default_factory=FakeEnv)
    breaks_at: int = -1
    """Iteration whose loss is NaN for the second seed."""
    pause: float = 0.0
    """Seconds that an iteration takes."""

    def memory(self) -> dict[str, int]:
        return {}

    def init(self, key: Any) -> FakeState:
        key, weights = jax.random.split(key)
        return FakeState(key, jax.random.normal(weights, (3, 2)), jnp.zeros((), jnp.int32), jnp.zeros((0, 2)))

    def initial_state(self) -> Any:
        return jnp.zeros(2)

    def policy(self, state: FakeState) -> Any:
        return state.weights

    def act(self, key: Any, policy: Any, agent_state: Any, timestep: TimeStep, *, greedy: bool) -> Any:
        scores = timestep.obs * policy.sum(axis=-1)[None]
        return jnp.argmax(scores, axis=-1).astype(jnp.int32), agent_state + 1

    def iteration(self, state: FakeState) -> Any:
        time.sleep(self.pause)
        return _iteration(state, self.config.collect.steps, self.breaks_at)


def _one_iteration(state: FakeState, steps: int, breaks_at: int) -> Any:
    key, noise, won = jax.random.split(state.key, 3)
    weights = state.weights + 0.1 * jax.random.normal(noise, state.weights.shape)
    ended = (jnp.arange(steps) % 2 == 1)[:, None]
    drawn = jax.random.bernoulli(won, 0.5, (steps, 1))
    episodes = Episodes(ended, ended & drawn, ended * weights.sum(), jnp.full((steps, 1), 2))
    loss = jnp.square(weights).sum()
    new = FakeState(key, weights, state.count + 1, state.empty)
    return new, {"models/loss": loss}, episodes, jnp.asarray(steps)


def _iteration_of_seeds(state: FakeState, steps: int, breaks_at: int) -> Any:
    new, metrics, *rest = jax.vmap(lambda one: _one_iteration(one, steps, breaks_at))(state)
    seeds = jnp.arange(len(new.count))
    broken = (new.count == breaks_at + 1) & (seeds == seeds[-1])
    return new, {"models/loss": jnp.where(broken, jnp.nan, metrics["models/loss"])}, *rest


_iteration = jax.jit(_iteration_of_seeds, static_argnums=(1, 2), donate_argnums=0)


def fake_config(**changes: Any) -> RunConfig:
    """A configuration of seconds: 2 seeds, 4 steps an iteration, evaluated every 12."""
    config = RunConfig(
        env="fake/drawn_length",
        algo="fake",
        preset="debug",
        steps=40,
        num_seeds=2,
        collect=CollectConfig(num_envs=1, steps=4),
        evaluation=EvaluationConfig(every=12, episodes=5),
        checkpoint=CheckpointConfig(every=1e9, keep=2),
    )
    return dataclasses.replace(config, **changes)


def build(config: RunConfig, **settings: Any) -> Any:
    """As `mag.runs.train.build`."""
    algorithm = FakeAlgorithm(config, **settings)
    keys = jax.vmap(jax.random.key)(jnp.arange(config.seed, config.seed + config.num_seeds))
    return algorithm, jax.vmap(algorithm.init)(keys)


def main() -> None:
    """Train with a checkpoint after every iteration."""
    from mag import cli
    from mag.runs.interrupt import Interrupted
    from mag.runs.train import train

    path, steps, *pause = sys.argv[1:]
    config = fake_config(steps=int(steps), checkpoint=CheckpointConfig(every=0.0))
    try:
        train(config, Path(path), build=lambda each: build(each, pause=float(pause[0]) if pause else 0.0))
    except Interrupted as stop:
        sys.exit(stop.exit_code)
    except cli.UsageError as error:
        cli.fail(str(error))


if __name__ == "__main__":
    main()
