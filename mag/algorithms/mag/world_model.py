"""The contract of world models: what Algorithm 1 requires of the models in which it plays and plans.

A world model is a module (a pytree of parameters). Its state is any pytree of arrays `[agents, ...]` that no other code
looks inside: networks that read the state (actor, critic, model reward) are made by the world model (`reader`).
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.learning.networks import Activation, Initialiser
from mag.types import Arrival, Metrics

State = Any
"""One joint state of a world model, a pytree of arrays `[agents, ...]`."""
Reader = Callable[[State], Float[Array, "agents outputs"]]
"""A network on a world model's joint state; a pytree of parameters."""
Predict = Callable[[PRNGKeyArray, State, Int[Array, " agents"]], State]
"""The next joint state after a joint action: one sample. The key is consumed."""


class Outcome(NamedTuple):
    """Reward and continuation of a predicted transition."""

    reward: Float[Array, " agents"]
    """Each agent's prediction of the team's reward, or of its own, times `models.reward_scale`."""
    continues: Float[Array, " agents"]
    """Each agent's predicted probability that the episode goes on; 0 or 1 where the models draw ends (joint events)."""


class OneStep(NamedTuple):
    """One-step predictions on a sequence of D_e, and their errors."""

    predicted: State
    """The arrived-at states as predicted (prior), `[time, agents, ...]`."""
    error: Float[Array, "time agents"]
    """Error of each agent's local model: the target of the model reward."""
    known: Bool[Array, " time"]
    """Whether the transition arriving at the step lies inside the sequence: where not, its error means nothing."""


class WorldModel(eqx.Module):
    """A model of all agents' next states and of what a transition brings, for one joint state; batched with `vmap`."""

    @abstractmethod
    def initial(self) -> State:
        """The state before anything was observed; never read, because an episode's first arrival resets it."""

    @abstractmethod
    def observe(self, key: PRNGKeyArray, state: State, arrival: Arrival) -> State:
        """The next joint state given one arrival (posterior); reset where `arrival.first`. The key is consumed."""

    @abstractmethod
    def predict(self, key: PRNGKeyArray, state: State, action: Int[Array, " agents"]) -> State:
        """One sample of the next joint state: P^i(. | o, a) of Definition 1. The key is consumed."""

    def predict_with(
        self, key_event: PRNGKeyArray, key: PRNGKeyArray, state: State, action: Int[Array, " agents"]
    ) -> State:
        """As `predict`, but what happens to the whole team, such as deaths and the end, is drawn with `key_event`.

        The keys are consumed. A model that draws nothing for the team ignores the first.
        """
        return self.predict(key, state, action)

    @abstractmethod
    def outcome(self, before: State, after: State) -> Outcome:
        """Reward and continuation of the transition between two states."""

    @abstractmethod
    def decode(self, state: State) -> Float[Array, "agents obs"]:
        """The joint observation decoded from a state."""

    @abstractmethod
    def loss(self, key: PRNGKeyArray, batch: Arrival) -> tuple[Float[Array, ""], Metrics]:
        """Line 4: the loss on a batch of sequences `[batch, time, ...]`, and its terms. The key is consumed."""

    @abstractmethod
    def one_step(self, key: PRNGKeyArray, sequence: Arrival) -> OneStep:
        """Line 5: every one-step prediction on one sequence `[time, ...]`. The key is consumed."""

    @abstractmethod
    def reader(
        self, key: PRNGKeyArray, sizes: tuple[int, ...], activation: Activation, init: Initialiser = "xavier"
    ) -> Reader:
        """A network of linear layers of the given sizes on this model's joint states. The key is consumed."""

    def available(self, key: PRNGKeyArray, state: State) -> Bool[Array, "agents actions"] | None:
        """The available actions in a state, one sample; None where every action is always available.

        The key is consumed.
        """
        return None

    def alive(self, state: State) -> Bool[Array, " agents"] | None:
        """Which agents are alive in a state; None if the model does not know."""
        return None

    def observe_sequence(self, key: PRNGKeyArray, sequence: Arrival) -> State:
        """The states of a sequence `[time, ...]` given what was observed. The key is consumed.

        The first arrival has no past; within the sequence the state is reset where an episode starts.
        """
        fresh = sequence.lacks_past

        def step(state: State, inputs: tuple[PRNGKeyArray, Arrival]) -> tuple[State, State]:
            key, arrival = inputs
            state = self.observe(key, state, arrival)
            return state, state

        keys = jax.random.split(key, len(fresh))
        return jax.lax.scan(step, self.initial(), (keys, sequence._replace(first=fresh)))[1]
