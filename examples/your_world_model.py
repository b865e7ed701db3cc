"""A world model of your own in MAG: the contract `WorldModel`, and a `METHOD` that puts it in the local models' place.

    python -m examples.your_world_model
    python -m mag train --algo examples.your_world_model --env probe/two-step

The model suits fully observed tasks with observations of zeros and ones: one network for the whole team
predicts the next joint observation, the reward, and whether the episode goes on. Planner, model reward, rollouts and
policy are MAG's and read a state through `reader` alone; any planner of `--planner.kind` plans with it.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

import mag
from mag.algorithms.mag import method
from mag.algorithms.mag.algorithm import MAG
from mag.algorithms.mag.config import MAGConfig
from mag.algorithms.mag.world_model import OneStep, Outcome, WorldModel
from mag.algorithms.method import Changes
from mag.envs import EnvSpec
from mag.learning.distributions import bernoulli_nll
from mag.learning.networks import MLP, Activation, Initialiser
from mag.types import Arrival, Metrics

State = Float[Array, "agents features"]
"""Each agent's observation, then the reward on arriving and whether the episode goes on."""


class TeamModel(WorldModel):
    """One network from the joint observation and the joint action to the next state of all agents."""

    net: MLP
    spec: EnvSpec = eqx.field(static=True)
    reward_scale: float = eqx.field(static=True)

    def __init__(self, key: PRNGKeyArray, spec: EnvSpec, config: MAGConfig) -> None:
        agents, hidden = spec.n_agents, config.networks.hidden
        inputs, outputs = agents * (spec.obs_dim + spec.n_actions), agents * (spec.obs_dim + 2)
        self.net = MLP(key, (inputs, hidden, hidden, outputs), "relu")
        self.spec, self.reward_scale = spec, config.models.reward_scale

    def initial(self) -> State:
        return jnp.zeros((self.spec.n_agents, self.spec.obs_dim + 2))

    def observe(self, key: PRNGKeyArray, state: State, arrival: Arrival) -> State:
        reward = self.reward_scale * arrival.reward
        brought = jnp.tile(jnp.stack([reward, arrival.continues]), (self.spec.n_agents, 1))
        return jnp.concatenate([arrival.obs, brought], -1)

    def foresee(self, state: State, action: Int[Array, " agents"]) -> State:
        """The next state: logits of all but the reward, which comes second to last."""
        acted = jax.nn.one_hot(action, self.spec.n_actions)
        return self.net(jnp.concatenate([state[:, :-2].ravel(), acted.ravel()])).reshape(state.shape)

    def predict(self, key: PRNGKeyArray, state: State, action: Int[Array, " agents"]) -> State:
        foreseen = self.foresee(state, action)
        chance = jax.nn.sigmoid(foreseen)
        drawn = jax.random.bernoulli(key, chance).astype(chance.dtype)
        return drawn.at[:, -2:].set(jnp.stack([foreseen[:, -2], chance[:, -1]], -1))

    def outcome(self, before: State, after: State) -> Outcome:
        return Outcome(after[:, -2], after[:, -1])

    def decode(self, state: State) -> Float[Array, "agents obs"]:
        return state[:, :-2]

    def loss(self, key: PRNGKeyArray, batch: Arrival) -> tuple[Float[Array, ""], Metrics]:
        steps = jax.vmap(self.one_step)(jax.random.split(key, len(batch.first)), batch)
        loss = jnp.mean(steps.error, where=steps.known[..., None])
        return loss, {"models/loss": loss}

    def one_step(self, key: PRNGKeyArray, sequence: Arrival) -> OneStep:
        key_observe, key_predict = jax.random.split(key)
        observed = self.observe_sequence(key_observe, sequence)
        before = jnp.roll(observed, 1, axis=0)
        action = jnp.maximum(sequence.previous_action, 0)
        foreseen = jax.vmap(self.foresee)(before, action)
        error = bernoulli_nll(foreseen, observed).at[..., -2].set(jnp.square(foreseen - observed)[..., -2])
        predicted = jax.vmap(self.predict)(jax.random.split(key_predict, len(action)), before, action)
        return OneStep(predicted, error.sum(-1), ~sequence.lacks_past)

    def reader(
        self, key: PRNGKeyArray, sizes: tuple[int, ...], activation: Activation, init: Initialiser = "xavier"
    ) -> MLP:
        return MLP(key, (self.spec.obs_dim + 2, *sizes), activation, init)


def make(config: MAGConfig, spec: EnvSpec) -> MAG:
    """MAG with this world model."""
    return MAG(config, spec, TeamModel)


LOCAL_MODELS = (
    *("networks.deterministic", "networks.categoricals", "networks.classes", "networks.attention_layers"),
    *("networks.dropout", "networks.joint_events", "networks.components", "networks.stages", "models.reward_bins"),
    *("models.end_factor", "models.kl_weight"),
    *("models.reward_threshold", "models.reward_weight", "models.reconstruction_weight", "models.kl_balance"),
)
"""Options of the local models, which this world model has no use for: a user who gives one is told so."""


def unused(config: MAGConfig) -> Changes:
    """Options without a use, each with the reason."""
    return {**method.unused(config), **dict.fromkeys(LOCAL_MODELS, "has a world model of its own")}


METHOD = dataclasses.replace(method.MAG, make=make, unused=unused)

OPTIONS: dict[str, Any] = {
    "steps": 2000,
    "collect": {"num_envs": 32, "steps": 8},
    "evaluation": {"every": 500, "episodes": 32},
    "networks": {"hidden": 32},
    "replay": {"learning_starts": 500, "batch_size": 32},
    "models": {"optimiser": "adam", "batches": 40, "ema_decay": 0.9},
    "rollout": {"num_rollouts": 4, "length": 3},
    "ppo": {"actor_learning_rate": 3e-3, "critic_learning_rate": 3e-3, "minibatch": 256, "entropy": 0.03},
}
"""Enough to learn a probe in seconds; the size `debug` alone learns nothing."""

if __name__ == "__main__":
    summary = mag.train(
        env="probe/two-step",
        algo="examples.your_world_model",
        size="debug",
        recipe="tuned",
        seed=2,
        run="runs/your-world-model",
        **OPTIONS,
    )
    print(f"return {summary['eval_return'][0]:.2f} of at most 1 with a world model of one's own")
