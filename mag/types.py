"""The containers that pass between the lines of Algorithm 1.

Axis order: `[seed, batch, time, agents, feature]`, which is the replay's; functions are written for one
joint state (`[agents, feature]`) or one sequence of them and batched with `vmap` where they are called, so the shapes
below are of one element. `Episodes` alone comes as `[seed, time, envs]`: its reader counts them in the order of time.
"""

from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float, Int

Metrics = dict[str, Any]
"""Scalars by name, `part/what`; the README's glossary has a line for each."""


class TimeStep(NamedTuple):
    """What an environment shows at one moment: the joint observation and how it was reached."""

    obs: Float[Array, "agents obs"]
    avail: Bool[Array, "agents actions"]
    """Available actions; all true where the environment has no masks."""
    alive: Bool[Array, " agents"]
    reward: Float[Array, ""]
    """Team reward of the transition that led here; 0 where an episode starts."""
    first: Bool[Array, ""]
    """An episode starts here."""
    terminated: Bool[Array, ""]
    """The episode really ended here: nothing follows."""
    truncated: Bool[Array, ""]
    """The time limit cut the episode here: more would have followed. Never true where `terminated` is."""
    won: Bool[Array, ""]
    """The episode ended here in a win; false in tasks that know none."""
    state: Float[Array, " state"] | None
    """Global state for centralised training; None where the environment has none."""


class Step(NamedTuple):
    """One item of the environment dataset D_e: everything known on *arriving* at time t.

    `previous_action` is a_{t-1}, `reward` is r of the transition t-1 -> t, `continues` is 0 if that transition
    really ended the episode. Where `first` is true those three say nothing (-1, 0 and 1).
    """

    obs: Float[Array, "agents obs"]
    avail: Bool[Array, "agents actions"]
    alive: Bool[Array, " agents"]
    previous_action: Int[Array, " agents"]
    reward: Float[Array, ""]
    continues: Float[Array, ""]
    first: Bool[Array, ""]
    state: Float[Array, " state"] | None


class Episodes(NamedTuple):
    """Which episodes ended in a stream of steps, and how."""

    ended: Bool[Array, ""]
    won: Bool[Array, ""]
    returned: Float[Array, ""]
    """Sum of the team rewards; meaningful where `ended`."""
    length: Int[Array, ""]
    """Transitions played; meaningful where `ended`."""


class Draw(NamedTuple):
    """A latent through whose draw gradients flow (line 4): straight through, to its probabilities."""

    classes: Int[Array, "agents categoricals"]
    probabilities: Float[Array, "agents categoricals classes"]


Latent = Int[Array, "agents categoricals"] | Draw
"""The drawn class of each categorical variable. As integers rather than one-hot vectors (the reference's
1024 numbers) a latent is read by look-ups instead of a product, and takes a 32nd of the memory."""


class ModelState(NamedTuple):
    """One joint state of the local models: a drawn latent and a recurrent memory per agent."""

    stoch: Latent
    deter: Float[Array, "agents deterministic"]


class Rollout(NamedTuple):
    """Model dataset D_m: k rollout steps of the policy inside the local models (lines 6-15), from one start state."""

    state: ModelState
    """Where the agents were, `[k, agents, ...]`."""
    action: Int[Array, "k agents"]
    avail: Bool[Array, "k agents actions"]
    """The mask under which the action was drawn."""
    log_prob: Float[Array, "k agents"]
    reward: Float[Array, " k"]
    """Predicted reward of the step, mean over agents."""
    continues: Float[Array, "k agents"]
    """Predicted probability that the episode goes on after the step."""
    last: ModelState
    """The state after the k-th step: the bootstrap."""
