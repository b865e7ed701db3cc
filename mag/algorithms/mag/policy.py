"""The joint policy, its critic, and how both read a world model's state."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.algorithms.mag.config import ExplorationConfig, NetworksConfig
from mag.algorithms.mag.world_model import Reader, State, WorldModel
from mag.envs import EnvSpec
from mag.learning.distributions import mask_logits, sample_categorical
from mag.learning.networks import MLP, AgentAttention
from mag.play.episode import Carry, arrival
from mag.types import TimeStep


class Actor(eqx.Module):
    """pi^i: logits over an agent's actions from its own state; agents communicate inside the models only."""

    net: Reader

    def __init__(self, key: PRNGKeyArray, models: WorldModel, n_actions: int, networks: NetworksConfig):
        sizes = (networks.hidden, networks.hidden, n_actions)
        self.net = models.reader(key, sizes, "relu", "orthogonal")

    def __call__(self, state: State) -> Float[Array, "agents actions"]:
        return self.net(state)


class Critic(eqx.Module):
    """The centralised critic: one value per agent after attention over the agents."""

    embed: Reader
    attention: AgentAttention
    value: MLP

    def __init__(self, key: PRNGKeyArray, models: WorldModel, networks: NetworksConfig):
        keys = jax.random.split(key, 3)
        hidden = networks.hidden
        self.embed = models.reader(keys[0], (hidden,), "relu")
        self.attention = AgentAttention(keys[1], hidden, networks.heads, layers=1)
        self.value = MLP(keys[2], (hidden, hidden, 1), "relu")

    def __call__(self, state: State) -> Float[Array, " agents"]:
        x = jax.nn.relu(self.embed(state))
        return self.value(jax.nn.relu(self.attention(x)))[..., 0]


class ImaginedAction(NamedTuple):
    """A joint action inside a world model."""

    action: Int[Array, " agents"]
    avail: Bool[Array, "agents actions"]
    """The mask of available actions, itself drawn from the models."""
    logits: Float[Array, "agents actions"]
    """Masked logits."""


def imagine_action(key: PRNGKeyArray, actor: Actor, models: WorldModel, state: State) -> ImaginedAction:
    """The joint policy inside the models (line 9). The key is consumed."""
    key_mask, key_action = jax.random.split(key)
    logits = actor(state)
    avail = models.available(key_mask, state)
    if avail is None:
        avail = jnp.ones(logits.shape, bool)
    logits = mask_logits(logits, avail)
    return ImaginedAction(sample_categorical(key_action, logits), avail, logits)


class ModelCarry(NamedTuple):
    """The recurrent state of an agent that observes through a world model."""

    state: State
    previous_action: Int[Array, " agents"]
    leaning: Float[Array, " actions"] | None = None
    """What the whole team adds to its logits in this episode; None where no episode leans."""


class ModelAgent(eqx.Module):
    """The joint policy in the environment: the models observe, the actor acts on their state."""

    models: WorldModel
    actor: Actor
    greedy_actor: Actor
    """The actor used in tests: the moving average if one is kept."""
    spec: EnvSpec = eqx.field(static=True)
    exploration: ExplorationConfig = eqx.field(static=True)

    def initial_carry(self, key: PRNGKeyArray) -> ModelCarry:
        """See `mag.play.episode.Agent`; nothing is drawn."""
        leaning = jnp.zeros(self.spec.n_actions) if self.exploration.leaning else None
        return ModelCarry(self.models.initial(), jnp.full(self.spec.n_agents, -1, jnp.int32), leaning)

    def act(
        self, key: PRNGKeyArray, carry: Carry, timestep: TimeStep, *, greedy: bool
    ) -> tuple[Int[Array, " agents"], ModelCarry]:
        """Observe, then act on the posterior; unless `greedy`, some episodes lean. The key is consumed."""
        key_observe, key_action, key_leaning = jax.random.split(key, 3)
        previous = jnp.where(timestep.first, -1, carry.previous_action)
        state = self.models.observe(key_observe, carry.state, arrival(timestep, previous))
        actor = self.greedy_actor if greedy else self.actor
        logits, leaning = actor(state), carry.leaning
        if leaning is not None and not greedy:
            drawn = draw_leaning(key_leaning, self.spec, self.exploration)
            leaning = jnp.where(timestep.first, drawn, leaning)
            logits = logits + leaning
        logits = mask_logits(logits, timestep.avail)
        action = jnp.argmax(logits, -1) if greedy else sample_categorical(key_action, logits)
        action = action.astype(jnp.int32)
        return action, ModelCarry(state, action, leaning)

    def unexploring(self) -> "ModelAgent":
        """See `mag.play.episode.Explores`: no episode leans."""
        return dataclasses.replace(self, exploration=dataclasses.replace(self.exploration, leaning=0.0))


def draw_leaning(key: PRNGKeyArray, spec: EnvSpec, config: ExplorationConfig) -> Float[Array, " actions"]:
    """What the whole team adds to its logits in one episode: nothing, or normal numbers. The key is consumed.

    The policy learns inside the models, so the models have to be shown play that the policy would not find there, such
    as a retreat of the whole team. Single random actions do not show it; a leaning lasts, and the agents share it.
    """
    key_whether, key_leaning = jax.random.split(key)
    leans = jax.random.uniform(key_whether) < config.leaning
    leaning = config.strength * jax.random.normal(key_leaning, (spec.n_actions,))
    if config.attacks_as_one and spec.enemies:
        first, action = spec.enemies.first_action, np.arange(spec.n_actions)
        leaning = leaning[np.where((action >= first) & (action < first + spec.enemies.count), first, action)]
    return jnp.where(leans, leaning, 0.0)
