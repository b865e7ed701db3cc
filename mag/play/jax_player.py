"""The player of environments that JAX can trace: whole segments of play compile into one program."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Key, PRNGKeyArray

from mag.envs import Env, EnvSpec
from mag.learning.parallel import Workers, over_seeds, per_seed
from mag.learning.sizes import size_of
from mag.play.collecting import Collector, Played, collect, keys_of_start, start_collecting
from mag.play.episode import Agent, chosen_by
from mag.play.testing import play_each
from mag.types import Episodes


class JaxPlayer:
    """Plays `num_envs` environments of each seed side by side, `steps` items at a time (`mag.play.player.Player`).

    With `limit_ends` a time limit is recorded as an end.
    """

    def __init__(
        self,
        env: Env,
        *,
        num_envs: int,
        steps: int,
        num_seeds: int = 1,
        workers: int = 1,
        limit_ends: bool = False,
    ) -> None:
        self.env, self.num_envs, self.steps, self.limit_ends = env, num_envs, steps, limit_ends
        self.num_seeds, self.workers = num_seeds, Workers(workers)
        self._compiled_test = functools.cache(self._compile_test)

    @property
    def spec(self) -> EnvSpec:
        """Sizes of the environment."""
        return self.env.spec

    def footprint(self) -> dict[str, int]:
        """See `Player.footprint`: what a test episode holds, with room for a step's intermediate results."""
        key = jax.eval_shape(lambda: jax.random.key(0))
        return {"episode": 3 * size_of(jax.eval_shape(self.env.reset, key))}

    def metrics(self) -> dict[str, Any]:
        """See `Player.metrics`: nothing can fail."""
        return {}

    def close(self) -> None:
        """See `Player.close`: nothing is held."""

    @per_seed(runs_once=True)
    def start(self, key: PRNGKeyArray, agent: Agent) -> Collector:
        """Environments at the start of their first episodes, `[envs]`. The key is consumed."""
        keys_env, keys_carry = keys_of_start(key, self.num_envs)
        return jax.vmap(lambda env, carry: start_collecting(env, self.env, agent.initial_carry(carry)))(
            keys_env, keys_carry
        )

    @per_seed(donate=("players",))
    def collect(self, key: PRNGKeyArray, agent: Agent, players: Collector) -> tuple[Collector, Played]:
        """`steps` items of each environment, `[envs, time]`. Key and players are consumed."""
        choose = chosen_by(agent, greedy=False)
        return collect(key, players, env=self.env, choose=choose, steps=self.steps, limit_ends=self.limit_ends)

    def test(self, keys: Key[Array, " seeds"], agent: Agent, episodes: int) -> Episodes:
        """Whole greedy episodes, `[seeds, episodes]`, whatever the number of workers. The keys are consumed."""
        return self._compiled_test(episodes)(keys, agent)

    def _compile_test(self, episodes: int) -> Callable[..., Any]:
        """A compiled test of `episodes` episodes, shared among the workers of a process if it divides evenly."""
        share = episodes % self.workers.count == 0 and jax.process_count() == 1

        def play(key: PRNGKeyArray, agent: Agent) -> Episodes:
            keys = jax.random.split(key, episodes)
            return play_each(self.workers.own_part(keys) if share else keys, self.env, agent, greedy=True)

        return over_seeds(play, self.num_seeds, workers=self.workers.count, divides=share)
