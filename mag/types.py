"""The containers that pass between the lines of Algorithm 1.

Axis order: `[seeds, envs, time, agents, feature]`. Functions are written for one joint state (`[agents, feature]`) or
one sequence of joint states and batched with `vmap` by the caller, so the shapes below have no batch axes.
"""

from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float, Int

Metrics = dict[str, Any]
"""Scalars by name, `part/what`."""


class TimeStep(NamedTuple):
    """What an environment shows: the joint observation, and how it was reached."""

    obs: Float[Array, "agents obs"]
    avail: Bool[Array, "agents actions"]
    """Available actions; all true where the environment has no masks."""
    alive: Bool[Array, " agents"]
    reward: Float[Array, ""] | Float[Array, " agents"]
    """Reward of the transition that led here: the team's, or each agent's own (`EnvSpec.team_reward`); 0 where an
    episode starts."""
    first: Bool[Array, ""]
    """An episode starts here."""
    terminated: Bool[Array, ""]
    """The episode really ended here: nothing follows."""
    truncated: Bool[Array, ""]
    """The time limit cut the episode here: more would have followed. Never true where `terminated` is."""
    won: Bool[Array, ""]
    """The episode ended here in a win; false in tasks without wins."""
    state: Float[Array, " state"] | None
    """Global state for centralised training; None where the environment has none."""


class Arrival(NamedTuple):
    """One item of the environment dataset D_e: everything known on *arriving* at time t.

    `previous_action` is a_{t-1}, `reward` is r of the transition t-1 -> t, `continues` is 0 if that transition
    ended the episode (`collect.time_limit` says whether a time limit does). Where `first` is true the three hold no
    information (-1, 0 and 1).
    """

    obs: Float[Array, "agents obs"]
    avail: Bool[Array, "agents actions"]
    alive: Bool[Array, " agents"]
    previous_action: Int[Array, " agents"]
    reward: Float[Array, ""] | Float[Array, " agents"]
    continues: Float[Array, ""]
    first: Bool[Array, ""]
    state: Float[Array, " state"] | None

    @property
    def lacks_past(self) -> Any:
        """Of a sequence `[time]`: where no transition inside it leads to the arrival."""
        return self.first.at[0].set(True)

    @property
    def rewards(self) -> Any:
        """The rewards with a last axis of agents, of length 1 if the agents share one reward."""
        return self.reward if self.reward.ndim > self.first.ndim else self.reward[..., None]


class Episodes(NamedTuple):
    """Results of episodes: one per step of a stream, valid where `ended`, or one per test episode."""

    ended: Bool[Array, ""]
    """Whether an episode ended here; the other fields are meaningful only there."""
    won: Bool[Array, ""]
    returns: Float[Array, ""] | Float[Array, " agents"]
    """Undiscounted sum of the rewards: the team's, or each agent's own."""
    length: Int[Array, ""]
    """Transitions played."""

    @property
    def mean_returns(self) -> Any:
        """The returns; means over the agents if each has its own."""
        return self.returns.mean(-1) if self.returns.ndim > self.length.ndim else self.returns
