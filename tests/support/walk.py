"""The smallest world model: each agent's state is a point, which the joint action and chance move."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mag.algorithms.mag.world_model import OneStep, Outcome, WorldModel
from mag.learning.networks import MLP


class Walk(WorldModel):
    """Random walks `[agents, 2]`; every agent observes its own point."""

    start: Float[Array, "agents 2"]
    drift: Float[Array, ""]
    """How far an action, counted from 0, moves a point along its first axis."""

    def initial(self):
        return self.start

    def observe(self, key, state, arrival):
        return arrival.obs

    def predict(self, key, state, action):
        moved = state + jax.random.normal(key, state.shape)
        return moved.at[:, 0].add(self.drift * action)

    def outcome(self, before, after):
        return Outcome((after - before).sum(-1), jnp.exp(-jnp.square(after).sum(-1)))

    def decode(self, state):
        return state

    def loss(self, key, batch):
        loss = jnp.square(self.start - batch.obs).mean() + jnp.square(self.drift)
        return loss, {"models/loss": loss}

    def one_step(self, key, sequence):
        before = jnp.roll(sequence.obs, 1, axis=0)
        predicted = jax.vmap(self.predict)(jax.random.split(key, len(before)), before, sequence.previous_action)
        error = jnp.abs(predicted - sequence.obs).sum(-1)
        return OneStep(predicted, error, ~sequence.lacks_past)

    def reader(self, key, sizes, activation, init="xavier"):
        return MLP(key, (2, *sizes), activation, init)
