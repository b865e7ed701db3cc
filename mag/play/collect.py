"""Line 3: play in the real environment with the joint policy, carrying each agent's memory.

The number of steps is fixed and episodes follow one another inside it, so that shapes are fixed; an episode goes
on where the last call stopped.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.envs import Env
from mag.types import Episodes, Step, TimeStep

Act = Callable[[PRNGKeyArray, Any, TimeStep], tuple[Int[Array, " agents"], Any]]
"""`act(key, agent_state, timestep) -> (action, agent_state)`; resets its memory itself where `timestep.first`."""


class Collector(NamedTuple):
    """One environment being played."""

    env_state: Any
    timestep: TimeStep
    previous_action: Int[Array, " agents"]
    agent_state: Any
    absorbing: Int[Array, ""]
    """Absorbing items shown since the episode really ended: 0 while it goes on."""
    returned: Float[Array, ""]
    """Sum of the rewards of the episode so far."""
    length: Int[Array, ""]
    """Transitions of the episode so far."""


class Played(NamedTuple):
    """What is seen of one environment, or what a call of `collect` brings home of all: `[envs, time]` in `steps`, as
    the replay wants them, and `[time, envs]` elsewhere."""

    steps: Step
    episodes: Episodes
    transitions: Bool[Array, "*time_envs"]
    """Whether the item was reached by a transition of the environment (not a reset, nor an absorbing item)."""


def start(key: PRNGKeyArray, env: Env, agent_state: Any) -> Collector:
    """A collector at the start of an episode. The key is consumed."""
    env_state, timestep = env.reset(key)
    return Collector(
        env_state,
        timestep,
        jnp.full(env.spec.n_agents, -1, jnp.int32),
        agent_state,
        jnp.zeros((), jnp.int32),
        jnp.zeros(()),
        jnp.zeros((), jnp.int32),
    )


def collect(key: PRNGKeyArray, collectors: Collector, *, env: Env, act: Act, steps: int) -> tuple[Collector, Played]:
    """Play `steps` steps of each environment; `collectors` are `[envs, ...]`. The key is consumed."""

    def step(collectors: Collector, key: PRNGKeyArray) -> tuple[Collector, Played]:
        keys = jax.random.split(key, collectors.absorbing.shape[0])
        return jax.vmap(lambda key, collector: play(key, collector, env, act))(keys, collectors)

    collectors, played = jax.lax.scan(step, collectors, jax.random.split(key, steps))
    return collectors, played._replace(steps=jax.tree.map(lambda x: x.swapaxes(0, 1), played.steps))


def play(key: PRNGKeyArray, collector: Collector, env: Env, act: Act) -> tuple[Collector, Played]:
    """Record where the environment is, act, and move on. The key is consumed."""
    key_act, key_env = jax.random.split(key)
    played = record(collector)
    action, agent_state = act(key_act, collector.agent_state, collector.timestep)
    return advance(key_env, collector._replace(agent_state=agent_state), action, env), played


def arrival(timestep: TimeStep, previous_action: Int[Array, " agents"]) -> Step:
    """The item of an arrival at `timestep` by `previous_action`."""
    return Step(
        obs=timestep.obs,
        avail=timestep.avail,
        alive=timestep.alive,
        previous_action=previous_action,
        reward=timestep.reward,
        continues=1.0 - timestep.terminated,
        first=timestep.first,
        state=timestep.state,
    )


def record(collector: Collector) -> Played:
    """What is to be told of the moment at which an environment is."""
    seen = collector.timestep
    ended = (seen.terminated & (collector.absorbing == 1)) | seen.truncated
    return Played(
        steps=arrival(seen, collector.previous_action),
        episodes=Episodes(ended, ended & seen.won, collector.returned, collector.length),
        transitions=~seen.first & (collector.absorbing < 2),
    )


def advance(key: PRNGKeyArray, collector: Collector, action: Int[Array, " agents"], env: Env) -> Collector:
    """The next item's moment: a transition, the second absorbing item, or a new episode. The key is consumed."""
    key_step, key_reset = jax.random.split(key)
    seen = collector.timestep
    env_state, timestep = env.step(key_step, collector.env_state, action)
    stepped = collector._replace(
        env_state=env_state,
        timestep=absorb(timestep),
        previous_action=action,
        absorbing=timestep.terminated.astype(jnp.int32),
        returned=collector.returned + timestep.reward,
        length=collector.length + 1,
    )
    absorbed = collector._replace(
        timestep=seen._replace(reward=jnp.zeros_like(seen.reward)),
        previous_action=action,
        absorbing=collector.absorbing + 1,
    )
    fresh = start(key_reset, env, collector.agent_state)
    over = seen.truncated | (collector.absorbing == 2)
    following = _where(collector.absorbing == 1, absorbed, stepped)
    return _where(over, fresh, following)


def absorb(timestep: TimeStep) -> TimeStep:
    """Where the episode really ended: zero observation and state, nobody alive, every action available."""
    shown = timestep._replace(
        obs=jnp.zeros_like(timestep.obs),
        avail=jnp.ones_like(timestep.avail),
        alive=jnp.zeros_like(timestep.alive),
        state=None if timestep.state is None else jnp.zeros_like(timestep.state),
    )
    return _where(timestep.terminated, shown, timestep)


def _where(condition: Bool[Array, ""], yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
