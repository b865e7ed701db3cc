"""The smallest method that the host loop can train: a few arrays, a key, and a two-agent game of its own.

Run as a program it is `mag train` with this method: `python -m tests.support.fake RUN STEPS [PAUSE]`, where PAUSE is
the seconds that an iteration takes.
"""

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp

import mag.runs.train
from mag.algorithms.config import CheckpointConfig, CollectConfig, EvaluationConfig, RunConfig
from mag.algorithms.method import Method
from mag.envs import EnvSpec
from mag.play.collecting import Played
from mag.play.jax_player import JaxPlayer
from mag.runs.footprint import check_memory
from mag.runs.setup import RunState, Setup
from mag.types import Episodes, TimeStep


class FakeEnv:
    """Ends after 1 to `episode_limit` steps; each pays the mean action, long episodes are won."""

    spec = EnvSpec(
        name="tests.support.fake/drawn_length",
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


class FakeAgent(eqx.Module):
    """The action with the greatest weights, times what is seen; drawn at random where not greedy."""

    weights: Any

    def initial_carry(self, key: Any) -> Any:
        return jnp.zeros(2)

    def act(self, key: Any, carry: Any, timestep: TimeStep, *, greedy: bool) -> Any:
        scores = timestep.obs * self.weights.sum(axis=-1)[None]
        action = jnp.argmax(scores, -1) if greedy else jax.random.categorical(key, scores)
        return action.astype(jnp.int32), carry + 1


class FakePlayer(JaxPlayer):
    """Collects episodes of two steps without playing; tests are played."""

    def collect(self, keys: Any, agent: Any, players: Any) -> Any:
        return players, _collect(keys, agent.weights, self.steps)


@dataclasses.dataclass(frozen=True, eq=False)
class FakeAlgorithm:
    """Weights that wander at random."""

    config: RunConfig
    spec: EnvSpec = FakeEnv.spec
    breaks_at: int = -1
    """Iteration whose loss is NaN for the second seed."""
    pause: float = 0.0
    """Seconds that an iteration takes."""

    def footprint(self) -> dict[str, int]:
        return {}

    def init(self, keys: Any) -> FakeState:
        return jax.vmap(_init)(keys)

    def agent(self, state: FakeState) -> FakeAgent:
        return FakeAgent(state.weights)

    def iteration(self, state: FakeState, play: Any) -> Any:
        time.sleep(self.pause)
        keys = jax.vmap(lambda key: jax.random.split(key, 3))(state.key)
        play(keys[:, 2], self.agent(state))
        return _wander(state, keys, self.breaks_at)


def _init(key: Any) -> FakeState:
    key, weights = jax.random.split(key)
    return FakeState(key, jax.random.normal(weights, (3, 2)), jnp.zeros((), jnp.int32), jnp.zeros((0, 2)))


@jax.jit
def _wander(state: FakeState, keys: Any, breaks_at: int) -> Any:
    noise = jax.vmap(lambda key: jax.random.normal(key, (3, 2)))(keys[:, 1])
    new = FakeState(keys[:, 0], state.weights + 0.1 * noise, state.count + 1, state.empty)
    seeds = jnp.arange(len(new.count))
    broken = (new.count == breaks_at + 1) & (seeds == seeds[-1])
    return new, {"models/loss": jnp.where(broken, jnp.nan, jnp.square(new.weights).sum((1, 2)))}


def _collect_of_seeds(keys: Any, weights: Any, steps: int) -> Played:
    def one(key: Any, weights: Any) -> Episodes:
        ended = (jnp.arange(steps) % 2 == 1)[None]
        drawn = jax.random.bernoulli(key, 0.5, (1, steps))
        return Episodes(ended, ended & drawn, ended * weights.sum(), jnp.full((1, steps), 2))

    transitions = jnp.ones((len(keys), 1, steps), bool)
    return Played(None, None, jax.vmap(one)(keys, weights), transitions, transitions, None)


_collect = jax.jit(_collect_of_seeds, static_argnums=2)


METHOD = Method("fake", RunConfig, lambda config, spec: FakeAlgorithm(config, spec))


def specs() -> dict[str, EnvSpec]:
    """This module is a family of environments, too."""
    return {"drawn_length": FakeEnv.spec}


def make(map_name: str) -> FakeEnv:
    return FakeEnv()


def fake_config(**changes: Any) -> RunConfig:
    """A configuration of seconds: 2 seeds, 4 steps an iteration, evaluated every 12."""
    config = RunConfig(
        env=FakeEnv.spec.name,
        algo="tests.support.fake",
        size="debug",
        recipe="tuned",
        steps=40,
        num_seeds=2,
        collect=CollectConfig(num_envs=1, steps=4),
        evaluation=EvaluationConfig(every=12, episodes=5),
        checkpoint=CheckpointConfig(every=1e9, keep=2),
    )
    return dataclasses.replace(config, **changes)


def build(config: RunConfig, algorithm: Any = None, env: Any = None, **settings: Any) -> tuple[Setup, RunState]:
    """As `mag.runs.setup.set_up`, with another algorithm or environment if one is given."""
    algorithm = FakeAlgorithm(config, **settings) if algorithm is None else algorithm
    env = FakeEnv() if env is None else env
    player = FakePlayer(env, num_envs=1, steps=config.collect.steps, num_seeds=config.num_seeds, workers=config.workers)
    check_memory({"episodes": config.evaluation.episodes * player.footprint()["episode"]}, config.num_seeds)
    learner = algorithm.init(jax.vmap(jax.random.key)(jnp.arange(config.seed, config.seed + config.num_seeds)))
    return Setup(algorithm, player, 0), RunState(learner, ())


def build_trained(config: RunConfig, content: Any = None) -> tuple[Setup, RunState]:
    """As `mag.runs.setup.set_up` where a run is read back."""
    return build(config)


def train(config: RunConfig, path: Path, *, build: Any = build) -> dict[str, Any]:
    """As `mag.runs.train.train`, with what `build(config)` sets up."""
    with mock.patch("mag.runs.train.set_up", build):
        return mag.runs.train.train(config, path)


def main() -> None:
    """Train with a checkpoint after every iteration."""
    from mag.cli.main import fail
    from mag.errors import UsageError
    from mag.runs.interrupt import Interrupted

    path, steps, *pause = sys.argv[1:]
    config = fake_config(steps=int(steps), checkpoint=CheckpointConfig(every=0.0))
    try:
        train(config, Path(path), build=lambda each: build(each, pause=float(pause[0]) if pause else 0.0))
    except Interrupted as stop:
        sys.exit(stop.exit_code)
    except UsageError as error:
        fail(str(error))


if __name__ == "__main__":
    main()
