"""Family `probe`: tiny tasks with known values, one per claim that the library makes.

| map | claim | agents | steps | best return | uniform play |
|---|---|---|---|---|---|
| `counter` | stored sequences are aligned in time; a real end is final | 2 | 5 | 13.125 | 11.5625 |
| `clock` | a time limit is told apart from an end | 2 | 5 | 13.125 | 11.5625 |
| `one-step` | a policy learns from its observation and heeds its mask | 2 | 1 | 1 | 1/9 |
| `two-step` | credit and discounts reach back past a step without reward | 2 | 2 | 1 | 0.4375 |
| `relay` | information passes from one agent to another | 2 | 2 | 1 | 1/3 |
| `memory` | what was seen once is remembered | 2 | 4 | 1 | 1/3 |
| `rivals` | each agent learns from its own reward | 2 | 1 | 1/2, -1/2 | 1/8, -1/8 |

Uniform play draws among available actions. Only the start of an episode is random. Observations contain zeros and
ones only. Only `counter` and `clock` have a global state.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from mag.envs.contract import EnvSpec
from mag.types import TimeStep


class State(NamedTuple):
    """An episode of a probe: its random draws, all made at the start, and its progress."""

    time: Int[Array, ""]
    """Steps played."""
    cue: Int[Array, " agents"]
    """Each agent's cue; drawn when the episode starts."""
    forbidden: Int[Array, " agents"]
    """Each agent's unavailable action; -1 for none."""
    branch: Int[Array, ""]
    """Branch that earlier actions led to; 0 at the start."""
    previous_action: Int[Array, " agents"]
    """The last joint action; -1 at the start."""


class _Probe(ABC):
    """Base of the probes, which add observations, random draws and rewards."""

    name: ClassVar[str]
    n_actions: ClassVar[int]
    obs_dim: ClassVar[int]
    steps: ClassVar[int]
    n_agents: ClassVar[int] = 2
    state_dim: ClassVar[int | None] = None
    has_masks: ClassVar[bool] = False
    has_wins: ClassVar[bool] = False
    truncates: ClassVar[bool] = False
    """Whether the last step is the time limit, not a real end."""
    team_reward: ClassVar[bool] = True

    @property
    def spec(self) -> EnvSpec:
        """See `Env.spec`."""
        return EnvSpec(
            name=f"probe/{self.name}",
            n_agents=self.n_agents,
            obs_dim=self.obs_dim,
            state_dim=self.state_dim,
            n_actions=self.n_actions,
            episode_limit=self.steps,
            has_masks=self.has_masks,
            has_wins=self.has_wins,
            team_reward=self.team_reward,
        )

    @abstractmethod
    def _observe(self, state: State) -> Float[Array, "agents obs"]: ...

    @abstractmethod
    def _reward(self, state: State, action: Int[Array, " agents"]) -> Float[Array, ""] | Float[Array, " agents"]:
        """Reward of playing `action` in `state`."""

    def _draw(self, key: PRNGKeyArray) -> tuple[Int[Array, " agents"], Int[Array, " agents"]]:
        """The cue and the forbidden actions of an episode."""
        none = jnp.full(self.n_agents, -1, jnp.int32)
        return none, none

    def _branch(self, state: State, action: Int[Array, " agents"]) -> Int[Array, ""]:
        """Branch after playing `action` in `state`."""
        return state.branch

    def _world(self, state: State) -> Float[Array, " state"] | None:
        return None

    def _to_all(self, seen: Float[Array, " n"]) -> Float[Array, "agents n"]:
        return jnp.tile(seen, (self.n_agents, 1))

    def reset(self, key: PRNGKeyArray) -> tuple[State, TimeStep]:
        """See `Env.reset`."""
        cue, forbidden = self._draw(key)
        zero = jnp.zeros((), jnp.int32)
        state = State(zero, cue, forbidden, zero, jnp.full(self.n_agents, -1, jnp.int32))
        return state, self._time_step(state, jnp.zeros(self.spec.reward_shape))

    def step(self, key: PRNGKeyArray, state: State, action: Int[Array, " agents"]) -> tuple[State, TimeStep]:
        """See `Env.step`. Nothing is drawn."""
        action = jnp.asarray(action, jnp.int32)
        reward = jnp.asarray(self._reward(state, action), jnp.float32)
        after = State(
            time=state.time + 1,
            cue=state.cue,
            forbidden=state.forbidden,
            branch=jnp.asarray(self._branch(state, action), jnp.int32),
            previous_action=action,
        )
        return after, self._time_step(after, reward)

    def _time_step(self, state: State, reward: Float[Array, "*rewards"]) -> TimeStep:
        over = state.time >= self.steps
        no = jnp.zeros((), bool)
        return TimeStep(
            obs=jnp.asarray(self._observe(state), jnp.float32),
            avail=jnp.arange(self.n_actions) != state.forbidden[:, None],
            alive=jnp.ones(self.n_agents, bool),
            reward=reward,
            first=state.time == 0,
            terminated=no if self.truncates else over,
            truncated=over if self.truncates else no,
            won=over & (reward == 1) if self.has_wins else no,
            state=self._world(state),
        )


class Counter(_Probe):
    """Observations contain the time and all previous actions of an episode.

    3 actions, 5 steps, then a real end. If `a` and `b` are the actions of agents 0 and 1, the step from time t (0 to 4)
    has the reward t + a/4 + b/16, `counter_reward`: exact in float32, and different for every (t, a, b). Each agent
    sees [time one-hot (6), itself one-hot (2), previous action of agent 0 one-hot
    (3), of agent 1 one-hot (3)], the last two zero at the start. The global state is [time, previous a,
    previous b], with -1 before the first action.

    Values: always playing 2 is best, 13.125 (= 0 + 1 + 2 + 3 + 4 + 5 * 0.625); uniform play returns 11.5625
    (= 10 + 5 * 0.3125). The value of the end is 0.
    """

    name = "counter"
    n_actions = 3
    obs_dim = 14
    state_dim = 3
    steps = 5

    def _observe(self, state: State) -> Float[Array, "agents obs"]:
        time = self._to_all(jax.nn.one_hot(state.time, self.steps + 1))
        actions = self._to_all(jax.nn.one_hot(state.previous_action, self.n_actions).ravel())
        return jnp.concatenate([time, jnp.eye(self.n_agents), actions], axis=1)

    def _reward(self, state: State, action: Int[Array, " agents"]) -> Float[Array, ""]:
        return counter_reward(state.time, action)

    def _world(self, state: State) -> Float[Array, " state"]:
        return jnp.concatenate([state.time[None], state.previous_action]).astype(jnp.float32)


class Clock(Counter):
    """`Counter` with a time limit instead of an end: the fifth step truncates.

    Values: returns as in `Counter`. The last observation is not an end, so the critic bootstraps from it: if its
    value is v, the target of the last step is r + discount * v, not r.
    """

    name = "clock"
    truncates = True


class OneStep(_Probe):
    """Each agent must play the action that it is shown, once.

    4 actions. Each agent sees its own cue one-hot (4), drawn anew in every episode; another action, not
    shown, is forbidden to it. Reward 1, and a win, if both agents do what they see, else 0.

    Values: best 1; uniform play among the 3 available actions (1/3)^2 = 1/9.
    """

    name = "one-step"
    n_actions = 4
    obs_dim = 4
    steps = 1
    has_masks = True
    has_wins = True

    def _draw(self, key: PRNGKeyArray) -> tuple[Int[Array, " agents"], Int[Array, " agents"]]:
        key_cue, key_forbidden = jax.random.split(key)
        cue = jax.random.randint(key_cue, (self.n_agents,), 0, self.n_actions)
        shift = jax.random.randint(key_forbidden, (self.n_agents,), 1, self.n_actions)
        return cue, (cue + shift) % self.n_actions

    def _observe(self, state: State) -> Float[Array, "agents obs"]:
        return jax.nn.one_hot(state.cue, self.n_actions)

    def _reward(self, state: State, action: Int[Array, " agents"]) -> Float[Array, ""]:
        return jnp.all(action == state.cue).astype(jnp.float32)


class TwoStep(_Probe):
    """The first joint action decides which reward the second can earn.

    2 actions. The first step earns nothing: if both agents choose 1 it leads to `risky`, else to `safe`. The
    second earns 0.5 in `safe`, whatever is done, and in `risky` 1 if both choose 1, else 0. Both agents see
    [start, safe, risky] one-hot (3).

    Values, with discount g: at the start g (always 1), in risky 1, in safe 0.5. Under uniform play risky is
    worth 0.25, less than safe, and the start 0.4375 g (= 3/4 * 0.5 + 1/4 * 0.25).
    """

    name = "two-step"
    n_actions = 2
    obs_dim = 3
    steps = 2

    def _observe(self, state: State) -> Float[Array, "agents obs"]:
        return self._to_all(jax.nn.one_hot(state.branch, 3))

    def _branch(self, state: State, action: Int[Array, " agents"]) -> Int[Array, ""]:
        return jnp.where(state.time == 0, jnp.where(jnp.all(action == 1), 2, 1), state.branch)

    def _reward(self, state: State, action: Int[Array, " agents"]) -> Float[Array, ""]:
        risky = jnp.all(action == 1).astype(jnp.float32)
        return jnp.where(state.time == 0, 0.0, jnp.where(state.branch == 2, risky, 0.5))


class Relay(_Probe):
    """One agent knows, the other acts: unsolvable without communication.

    3 actions, 2 steps. Agent 0 sees the cue one-hot (3) all the time; agent 1 sees zeros there. Both see
    themselves one-hot (2) and the time one-hot (3). Reward 1, and a win, if agent 1's action in the second
    step is the cue. Agent 0's actions do nothing and are not seen, so only a channel between the agents
    helps; the first step leaves it time to work.

    Values: best 1; uniform play, and any play without communication, 1/3.
    """

    name = "relay"
    n_actions = 3
    obs_dim = 8
    steps = 2
    has_wins = True

    def _draw(self, key: PRNGKeyArray) -> tuple[Int[Array, " agents"], Int[Array, " agents"]]:
        none = jnp.full(self.n_agents, -1, jnp.int32)
        return none.at[0].set(jax.random.randint(key, (), 0, self.n_actions)), none

    def _observe(self, state: State) -> Float[Array, "agents obs"]:
        time = self._to_all(jax.nn.one_hot(state.time, self.steps + 1))
        return jnp.concatenate([jax.nn.one_hot(state.cue, 3), jnp.eye(self.n_agents), time], axis=1)

    def _reward(self, state: State, action: Int[Array, " agents"]) -> Float[Array, ""]:
        return ((state.time == 1) & (action[1] == state.cue[0])).astype(jnp.float32)


class Memory(_Probe):
    """The action shown at the start must be played three steps later.

    3 actions, 4 steps. Each agent sees its own cue one-hot (3) at time 0 and zeros in its place later, and the
    time one-hot (5). The reward of the fourth step is the share of agents whose action is their cue; earlier
    steps earn nothing. Won if both are right.

    Values: best 1; uniform play, and any play without memory, 1/3 (won: 1/9).
    """

    name = "memory"
    n_actions = 3
    obs_dim = 8
    steps = 4
    has_wins = True

    def _draw(self, key: PRNGKeyArray) -> tuple[Int[Array, " agents"], Int[Array, " agents"]]:
        cue = jax.random.randint(key, (self.n_agents,), 0, self.n_actions)
        return cue, jnp.full(self.n_agents, -1, jnp.int32)

    def _observe(self, state: State) -> Float[Array, "agents obs"]:
        cue = jax.nn.one_hot(state.cue, self.n_actions) * (state.time == 0)
        time = self._to_all(jax.nn.one_hot(state.time, self.steps + 1))
        return jnp.concatenate([cue, time], axis=1)

    def _reward(self, state: State, action: Int[Array, " agents"]) -> Float[Array, ""]:
        return jnp.mean(action == state.cue) * (state.time == self.steps - 1)


class Rivals(_Probe):
    """What one agent earns the other pays: a zero-sum game with one equilibrium.

    2 actions, 1 step. If the first agent plays the row and the second the column, the first is paid

        |    | 0  | 1   |
        |----|----|-----|
        | 0  | 1  | 1/2 |
        | 1  | -1 | 0   |

    and the second the same with the opposite sign. Each sees itself one-hot (2).

    Values: row 0 is better against either column, and column 1 is the best answer to row 0 (column 0 to row 1 and to
    uniform play), so the equilibrium is (0, 1) with returns 1/2 and -1/2. Uniform play returns 1/8 and -1/8. The mean
    over the agents is always 0 and teaches nothing.
    """

    name = "rivals"
    n_actions = 2
    obs_dim = 2
    steps = 1
    team_reward = False

    def _observe(self, state: State) -> Float[Array, "agents obs"]:
        return jnp.eye(2)

    def _reward(self, state: State, action: Int[Array, " agents"]) -> Float[Array, " agents"]:
        paid = jnp.array([[1.0, 0.5], [-1.0, 0.0]])[action[0], action[1]]
        return jnp.stack([paid, -paid])


_PROBES: dict[str, type[_Probe]] = {
    probe.name: probe for probe in (Counter, Clock, OneStep, TwoStep, Relay, Memory, Rivals)
}


def specs() -> dict[str, EnvSpec]:
    """The spec of every map, by its name."""
    return {name: probe().spec for name, probe in _PROBES.items()}


def make(map_name: str) -> _Probe:
    """The probe of that name, one of `specs()`."""
    return _PROBES[map_name]()


def counter_reward(time: Int[Array, "..."], action: Int[Array, "... agents"]) -> Float[Array, "..."]:
    """Reward of playing `action` at `time` in `counter` and `clock`: time + a/4 + b/16."""
    return time + action[..., 0] / 4 + action[..., 1] / 16


def read_counter(
    obs: Float[Array, "... obs"],
) -> tuple[Int[Array, "..."], Int[Array, "..."], Int[Array, "... agents"]]:
    """The content of an observation in `counter`: time, agent, previous joint action (-1 at the start)."""
    time, agent, actions = jnp.split(obs, [6, 8], axis=-1)
    actions = actions.reshape(*obs.shape[:-1], 2, 3)
    previous = jnp.where(actions.any(-1), actions.argmax(-1), -1)
    return time.argmax(-1), agent.argmax(-1), previous
