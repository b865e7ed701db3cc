"""JaxMARL's environments behind the contract `Env`, and JaxMARL's import, which takes seconds."""

import contextlib
import dataclasses
import functools
import io
import math
import re
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.envs.contract import Enemies, EnvSpec, count_actions, roles_of
from mag.envs.view import View
from mag.errors import UsageError
from mag.types import TimeStep

_COMPETITIVE_CLASSES = {"CoinGame", "InTheGrid", "InTheGrid_2p", "InTheMatrix"}
"""Classes of JaxMARL's competitive tasks whose agents' names do not tell the sides apart."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """Masks, deaths, wins and ends of a task, which JaxMARL's interface leaves open; by default there are only ends.

    The functions take JaxMARL's state.
    """

    avail: Callable[[Any], dict[str, Array]] | None = None
    """Each agent's available actions, by the agent's name."""
    alive: Callable[[Any], Bool[Array, " agents"]] | None = None
    won: Callable[[Any], Bool[Array, ""]] | None = None
    """Whether the state is a win."""
    ends: bool = True
    """Whether JaxMARL's `done` is a real end; if False, it is the time limit."""


def battle_rules(env: Any, allies: int, alive: Callable[[Any], Bool[Array, " units"]]) -> Rules:
    """Masks, deaths and wins of a battle, which is won when all enemies are dead and an ally is alive.

    `alive` tells which units are alive in JaxMARL's state, the `allies` first.
    """

    def won(inner: Any) -> Bool[Array, ""]:
        return ~jnp.any(alive(inner)[allies:]) & jnp.any(alive(inner)[:allies])

    return Rules(avail=env.get_avail_actions, alive=lambda inner: alive(inner)[:allies], won=won)


class State(NamedTuple):
    """JaxMARL's own state and the steps played in the episode."""

    inner: Any
    time: Int[Array, ""]


class JaxMarlEnv:
    """A JaxMARL environment as an `Env`.

    - Observations are flattened; if agents' sizes differ, shorter ones are padded with zeros at the end.
    - If agents' numbers of actions differ, all agents have the largest number, and actions that an agent lacks are
      never available.
    - The team reward is the mean of the agents' rewards (the reward itself if they share one). If agents compete, each
      keeps its own reward, and its observation ends with its role one-hot: its name without its number.
    - `state` is JaxMARL's `world_state`, if its observations contain one.
    - At `episode_limit` the episode is truncated, unless it really ends with that step. To tell the two apart, the
      episode limit of `env` itself must be larger (or `Rules(ends=False)`).
    """

    def __init__(
        self,
        name: str,
        env: Any,
        *,
        episode_limit: int,
        rules: Rules | None = None,
        view: View | None = None,
        reward_scale: float = 1.0,
        enemies: Enemies | None = None,
    ) -> None:
        """Wrap `env`, a JaxMARL `MultiAgentEnv`; `view` draws this adapter's `State`, `enemies` is the spec's.

        Raises UsageError if an agent's actions are not discrete or its observation is not an array.
        """
        self._env = env
        self.view = view
        self._rules = Rules() if rules is None else rules
        self._agents: list[str] = list(env.agents)
        self._n_actions = [count_actions(name, agent, env.action_space(agent)) for agent in self._agents]
        obs, self._dtypes = self._trace()
        _check_observations(name, obs, self._agents)
        state = obs.get("world_state")
        competes = _compete(env)
        self._roles = roles_of(self._agents) if competes else np.zeros((len(self._agents), 0), np.float32)
        widest = max(math.prod(obs[agent].shape) for agent in self._agents)
        self.spec = EnvSpec(
            name=name,
            n_agents=len(self._agents),
            obs_dim=widest + self._roles.shape[1],
            state_dim=None if state is None else math.prod(state.shape),
            n_actions=max(self._n_actions),
            episode_limit=episode_limit,
            has_masks=self._rules.avail is not None or len(set(self._n_actions)) > 1,
            has_wins=self._rules.won is not None,
            reward_scale=reward_scale,
            team_reward=not competes,
            enemies=enemies,
        )

    def reset(self, key: PRNGKeyArray) -> tuple[State, TimeStep]:
        """See `Env.reset`."""
        obs, inner = self._env.reset(key)
        state = State(self._fix(inner), jnp.zeros((), jnp.int32))
        no = jnp.zeros((), bool)
        return state, self._time_step(state, obs, reward=jnp.zeros(self.spec.reward_shape), first=~no, terminated=no)

    def step(self, key: PRNGKeyArray, state: State, action: Int[Array, " agents"]) -> tuple[State, TimeStep]:
        """See `Env.step`."""
        actions = dict(zip(self._agents, action, strict=True))
        # JaxMARL's `step` resets by itself; `step_env` does not.
        obs, inner, rewards, done, _ = self._env.step_env(key, state.inner, actions)
        after = State(self._fix(inner), state.time + 1)
        no = jnp.zeros((), bool)
        terminated = done["__all__"] if self._rules.ends else no
        return after, self._time_step(after, obs, reward=self._reward(rewards), first=no, terminated=terminated)

    def _time_step(
        self,
        state: State,
        obs: dict[str, Array],
        *,
        reward: Float[Array, "*agents"],
        first: Bool[Array, ""],
        terminated: Bool[Array, ""],
    ) -> TimeStep:
        terminated = jnp.asarray(terminated, bool)
        rules = self._rules
        alive = jnp.ones(len(self._agents), bool) if rules.alive is None else rules.alive(state.inner)
        won = jnp.zeros((), bool) if rules.won is None else terminated & rules.won(state.inner)
        world = obs.get("world_state")
        return TimeStep(
            obs=self._observations(obs),
            avail=self._avail(state.inner),
            alive=jnp.asarray(alive, bool),
            reward=jnp.asarray(reward, jnp.float32),
            first=first,
            terminated=terminated,
            truncated=jnp.asarray(state.time >= self.spec.episode_limit, bool) & ~terminated,
            won=jnp.asarray(won, bool),
            state=None if world is None else _pad(world, world.size, jnp.float32),
        )

    def _avail(self, inner: Any) -> Bool[Array, "agents actions"]:
        width = self.spec.n_actions
        if self._rules.avail is None:
            return jnp.stack([jnp.arange(width) < count for count in self._n_actions])
        masks = self._rules.avail(inner)
        return jnp.stack([_pad(masks[agent], width, bool) for agent in self._agents])

    def _observations(self, obs: dict[str, Array]) -> Float[Array, "agents obs"]:
        width = self.spec.obs_dim - self._roles.shape[1]
        seen = jnp.stack([_pad(obs[agent], width, jnp.float32) for agent in self._agents])
        return jnp.concatenate([seen, self._roles], axis=1)

    def _reward(self, rewards: dict[str, Array]) -> Float[Array, "*agents"]:
        each = jnp.stack([jnp.asarray(rewards[agent], jnp.float32) for agent in self._agents])
        if not self.spec.team_reward:
            return each
        # The mean, written so that equal rewards give exactly that reward.
        return each[0] + jnp.mean(each - each[0])

    def _fix(self, inner: Any) -> Any:
        """JaxMARL's state with one dtype per leaf, wide enough for its values after a reset and after a step."""
        return jax.tree.map(lambda leaf, dtype: jnp.asarray(leaf, dtype), inner, self._dtypes)

    def _trace(self) -> tuple[Any, Any]:
        """Shapes of the observations, and the dtypes of JaxMARL's state."""
        key = jax.eval_shape(lambda: jax.random.key(0))
        action = {agent: jax.ShapeDtypeStruct((), jnp.int32) for agent in self._agents}
        obs, before = jax.eval_shape(self._env.reset, key)
        _, after, *_ = jax.eval_shape(self._env.step_env, key, before, action)
        return obs, jax.tree.map(lambda a, b: jnp.promote_types(a.dtype, b.dtype), before, after)


@functools.cache
def import_jaxmarl() -> ModuleType:
    """JaxMARL, imported at its first use. Anything that the import prints is dropped."""
    with _quiet_import():
        import jaxmarl
    return jaxmarl


@contextlib.contextmanager
def _quiet_import() -> Iterator[None]:
    """Drop the output of an import, and restore the standard streams.

    JaxMARL's import sets `sys.stdout` and `sys.stderr` to the process's original ones, which defeats
    `contextlib.redirect_stdout` and would end a caller's own redirection (pytest's, a live display's).
    """
    streams = ("stdout", "stderr", "__stdout__")
    before = {name: getattr(sys, name) for name in streams}
    dropped = io.StringIO()
    try:
        for name in ("stdout", "__stdout__"):
            setattr(sys, name, dropped)
        yield
    finally:
        for name, stream in before.items():
            setattr(sys, name, stream)


def _compete(env: Any) -> bool:
    """Whether some of a JaxMARL environment's agents are opponents of the others."""
    opponents = getattr(env, "num_adversaries", 0)
    named = [agent for agent in env.agents if re.match("adversary|enemy", str(agent))]
    classes = {each.__name__ for each in type(env).__mro__}
    both_sides = any(0 < count < len(env.agents) for count in (opponents, len(named)))
    return both_sides or bool(classes & _COMPETITIVE_CLASSES)


def _check_observations(name: str, obs: Any, agents: list[str]) -> None:
    """Raise UsageError if some agent's observation is not an array."""
    for agent in agents:
        seen = obs.get(agent) if isinstance(obs, dict) else None
        if not hasattr(seen, "shape"):
            kind = "missing" if seen is None else f"of type {type(seen).__name__}"
            raise UsageError(
                f"environment {name!r}: the observation of {agent!r} is {kind}; flatten observations to a dict with "
                "one array for each agent"
            )


def _pad(values: Array, width: int, dtype: Any) -> Array:
    """`values` as a vector of `width`, zeros (or false) at its end."""
    flat = jnp.asarray(values, dtype).ravel()
    return jnp.pad(flat, (0, width - flat.size))
