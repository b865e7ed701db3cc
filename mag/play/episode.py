"""The one stepper of episodes, used for collecting, testing, watching, tournaments and benchmarks."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.envs import Env, EnvSpec
from mag.types import Arrival, Episodes, TimeStep

Carry = Any
"""The recurrent state of one joint agent, a pytree of arrays."""


@runtime_checkable
class Agent(Protocol):
    """A joint policy that plays: a pytree of arrays, without a seed axis where `act` is called.

    An agent resets its own carry where `timestep.first`.
    """

    def initial_carry(self, key: PRNGKeyArray) -> Carry:
        """The recurrent state before the first time step. The key is consumed."""
        ...

    def act(
        self, key: PRNGKeyArray, carry: Carry, timestep: TimeStep, *, greedy: bool
    ) -> tuple[Int[Array, " agents"], Carry]:
        """The joint action in one environment, and the new recurrent state. The key is consumed."""
        ...


@runtime_checkable
class Explores(Protocol):
    """An agent that explores in training, beyond drawing its actions from the policy."""

    def unexploring(self) -> Agent:
        """The same agent, which only draws its actions."""
        ...


def unexploring(agent: Agent) -> Agent:
    """The agent as it plays by its policy alone; the agent itself if it does not explore."""
    return agent.unexploring() if isinstance(agent, Explores) else agent


class Episode(NamedTuple):
    """One episode under way in one environment."""

    env_state: Any
    timestep: TimeStep
    previous_action: Int[Array, " agents"]
    """The joint action that led to `timestep`; -1 at the start."""
    carry: Carry
    """The agent's recurrent state before it sees `timestep`."""
    returns: Float[Array, ""] | Float[Array, " agents"]
    """Sum of the rewards so far."""
    length: Int[Array, ""]
    """Transitions so far."""


Choose = Callable[[PRNGKeyArray, Episode], tuple[Int[Array, " agents"], Carry]]
"""A policy as a function from a key and an episode to the joint action and the new recurrent state."""


def chosen_by(agent: Agent, *, greedy: bool) -> Choose:
    """The actions that an agent chooses."""

    def choose(key: PRNGKeyArray, episode: Episode) -> tuple[Int[Array, " agents"], Carry]:
        return agent.act(key, episode.carry, episode.timestep, greedy=greedy)

    return choose


def start_episode(key: PRNGKeyArray, env: Env, carry: Carry) -> Episode:
    """An episode at its start. The key is consumed."""
    env_state, timestep = env.reset(key)
    no_action = jnp.full(env.spec.n_agents, -1, jnp.int32)
    return Episode(env_state, timestep, no_action, carry, jnp.zeros(env.spec.reward_shape), jnp.zeros((), jnp.int32))


def step_episode(
    key_choose: PRNGKeyArray, key_step: PRNGKeyArray, episode: Episode, *, env: Env, choose: Choose
) -> Episode:
    """One transition: the joint action is chosen, and the environment steps. Both keys are consumed.

    At the episode limit the episode is cut, whether or not the environment says so.
    """
    action, carry = choose(key_choose, episode)
    env_state, timestep = env.step(key_step, episode.env_state, action)
    returns, length = episode.returns + timestep.reward, episode.length + 1
    cut = (length >= env.spec.episode_limit) & ~timestep.terminated
    timestep = timestep._replace(truncated=timestep.truncated | cut)
    return Episode(env_state, timestep, action, carry, returns, length)


def result(episode: Episode, ended: Bool[Array, ""]) -> Episodes:
    """The result of an episode at its current time step, with whether it ended there."""
    return Episodes(ended, ended & episode.timestep.won, episode.returns, episode.length)


def arrival(timestep: TimeStep, previous_action: Int[Array, " agents"]) -> Arrival:
    """The item of D_e for an arrival at `timestep` by `previous_action`.

    A dead agent observes zeros, whatever the environment shows, so it passes no information to living agents.
    """
    return Arrival(
        obs=jnp.where(timestep.alive[:, None], timestep.obs, 0),
        avail=timestep.avail,
        alive=timestep.alive,
        previous_action=previous_action,
        reward=timestep.reward,
        continues=1.0 - timestep.terminated,
        first=timestep.first,
        state=timestep.state,
    )


def empty_arrival(spec: EnvSpec, *, with_state: bool = False) -> Arrival:
    """An item of zeros, from which shapes and types are taken."""
    return Arrival(
        obs=jnp.zeros((spec.n_agents, spec.obs_dim)),
        avail=jnp.zeros((spec.n_agents, spec.n_actions), bool),
        alive=jnp.zeros(spec.n_agents, bool),
        previous_action=jnp.zeros(spec.n_agents, jnp.int32),
        reward=jnp.zeros(spec.reward_shape),
        continues=jnp.zeros(()),
        first=jnp.zeros((), bool),
        state=jnp.zeros(spec.state_dim) if with_state and spec.state_dim else None,
    )


def end_at_limit(timestep: TimeStep) -> TimeStep:
    """The time step with a time limit counted as an end."""
    ended = timestep.terminated | timestep.truncated
    return timestep._replace(terminated=ended, truncated=jnp.zeros_like(ended))


def absorb(timestep: TimeStep) -> TimeStep:
    """The absorbing form of an end: zero observation and state, nobody alive, every action available."""
    shown = timestep._replace(
        obs=jnp.zeros_like(timestep.obs),
        avail=jnp.ones_like(timestep.avail),
        alive=jnp.zeros_like(timestep.alive),
        state=None if timestep.state is None else jnp.zeros_like(timestep.state),
    )
    return where(timestep.terminated, shown, timestep)


def kept(timestep: TimeStep, previous_action: Int[Array, " agents"]) -> Arrival:
    """The arrival as D_e keeps it for world models: absorbed where the episode really ended, without global state."""
    return arrival(absorb(timestep), previous_action)._replace(state=None)


def where(condition: Bool[Array, ""], yes: Any, no: Any) -> Any:
    """`jnp.where` on pytrees."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
