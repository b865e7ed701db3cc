"""The local models: encoder, attention over agents, recurrent state space model, heads (Sec. 2 "MAMBA", line 4).

All agents share one set of weights. Everything is written for one joint state `[agents, ...]`.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.algorithms.mag.config import ModelsConfig, NetworksConfig
from mag.envs import EnvSpec
from mag.learning.distributions import (
    balanced_kl,
    bernoulli_nll,
    log_prob,
    sample_categorical,
    smooth_l1,
    straight_through,
)
from mag.learning.networks import MLP, AgentAttention, FeatureMLP, GRUCell, Linear, SplitLinear
from mag.learning.optimise import Fitted, fit, optimiser_of
from mag.types import Draw, Latent, Metrics, ModelState, Step


class LocalModels(eqx.Module):
    """The menu of predictions: `predict` and `observe` move the state, the other methods read it."""

    encoder: MLP
    recurrent_input: SplitLinear
    attention: AgentAttention
    recurrence: GRUCell
    prior: MLP
    posterior_input: SplitLinear
    posterior_output: Linear
    decoder: FeatureMLP
    decoder_output: Linear
    reward: FeatureMLP
    continuation: FeatureMLP
    available_actions: FeatureMLP | None
    action_features: MLP
    action_output: Linear
    spec: EnvSpec = eqx.field(static=True)
    config: NetworksConfig = eqx.field(static=True)

    def __init__(self, key: PRNGKeyArray, spec: EnvSpec, config: NetworksConfig):
        keys = iter(jax.random.split(key, 14))
        hidden, deterministic = config.hidden, config.deterministic
        latent = config.categoricals * config.classes

        def head(outputs: int) -> FeatureMLP:
            return FeatureMLP(next(keys), latent, deterministic, (hidden, hidden, outputs), "elu")

        self.encoder = MLP(next(keys), (spec.obs_dim, hidden, hidden, hidden, hidden), "relu")
        self.recurrent_input = SplitLinear(next(keys), latent, spec.n_actions, hidden)
        self.attention = AgentAttention(next(keys), hidden, config.heads, config.attention_layers)
        self.recurrence = GRUCell(next(keys), hidden, deterministic)
        self.prior = MLP(next(keys), (deterministic, hidden, latent), "relu")
        self.posterior_input = SplitLinear(next(keys), deterministic, hidden, hidden)
        self.posterior_output = Linear(next(keys), hidden, latent)
        self.decoder = FeatureMLP(next(keys), latent, deterministic, (hidden, hidden, hidden), "relu")
        self.decoder_output = Linear(next(keys), hidden, spec.obs_dim)
        self.reward, self.continuation = head(1), head(1)
        self.available_actions = head(spec.n_actions) if spec.has_masks else None
        self.action_features = MLP(next(keys), (hidden, hidden, hidden), "elu")
        self.action_output = Linear(next(keys), hidden, spec.n_actions)
        self.spec, self.config = spec, config

    def predict(self, key: PRNGKeyArray, state: ModelState, action: Int[Array, " agents"]) -> ModelState:
        """One sample of the next joint state from the prior: P^i(. | o, a) of Definition 1. The key is consumed."""
        deter = self.recur(state, action)
        return ModelState(sample_categorical(key, self.prior_logits(deter)), deter)

    def observe(
        self,
        key: PRNGKeyArray,
        state: ModelState,
        previous_action: Int[Array, " agents"],
        first: Bool[Array, ""],
        obs: Float[Array, "agents obs"],
    ) -> ModelState:
        """The next joint state, corrected by what was observed (posterior). The key is consumed."""
        deter = self.recur(state, previous_action, fresh=first)
        logits = self.posterior_logits(deter, self.embed(obs))
        return ModelState(sample_categorical(key, logits), deter)

    def recur(
        self,
        state: ModelState,
        action: Int[Array, " agents"],
        *,
        fresh: Bool[Array, ""] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "agents deterministic"]:
        """The recurrent memory after a joint action: f = Attention(l), then the GRU.

        Where `fresh` is true the state counts as zero, which is where every episode starts; an action of -1
        counts as none. With a key, dropout in the attention.
        """
        latent, deter = self.recurrent_input.embed(state.stoch), state.deter
        if fresh is not None:
            latent, deter = jnp.where(fresh, 0, latent), jnp.where(fresh, 0, deter)
        action_part = jax.nn.one_hot(action, self.spec.n_actions) @ self.recurrent_input.right
        x = jax.nn.relu(latent + action_part + self.recurrent_input.bias)
        return self.recurrence(self.attention(x, key=key, rate=self.config.dropout), deter)

    def prior_logits(self, deter: Float[Array, "agents deterministic"]) -> Float[Array, "agents variables classes"]:
        """What the models expect to observe."""
        return self._logits(self.prior(deter))

    def embed(self, obs: Float[Array, "*time agents obs"]) -> Float[Array, "*time agents hidden"]:
        """The observation's share of the posterior's hidden layer."""
        return self.encoder(obs) @ self.posterior_input.right + self.posterior_input.bias

    def posterior_logits(
        self, deter: Float[Array, "agents deterministic"], embedded: Float[Array, "agents hidden"]
    ) -> Float[Array, "agents variables classes"]:
        """What the models make of an (embedded) observation."""
        hidden = jax.nn.relu(deter @ self.posterior_input.left + embedded)
        return self._logits(self.posterior_output(hidden))

    def decode(self, state: ModelState) -> tuple[Float[Array, "agents obs"], Float[Array, "agents actions"]]:
        """The observation seen in a state, and the logits of the agent's own previous action."""
        hidden = jax.nn.relu(self.decoder(state))
        action = self.action_output(jax.nn.relu(self.action_features(hidden)))
        return self.decoder_output(hidden), action

    def transition(
        self, before: Latent, deter: Float[Array, "agents deterministic"]
    ) -> tuple[Float[Array, " agents"], Float[Array, " agents"]]:
        """Reward, times its scale, and the logit of continuing, both of the transition t -> t+1.

        They read (stoch_t, deter_{t+1}): deter_{t+1} already holds the joint action a_t.
        """
        state = ModelState(before, deter)
        return self.reward(state)[..., 0], self.continuation(state)[..., 0]

    def _logits(self, x: Float[Array, "*batch latent"]) -> Float[Array, "*batch variables classes"]:
        return x.reshape(*x.shape[:-1], self.config.categoricals, self.config.classes)


def initial_state(spec: EnvSpec, config: NetworksConfig) -> ModelState:
    """What to carry before anything was seen; a first step keeps it from being read."""
    stoch = jnp.zeros((spec.n_agents, config.categoricals), jnp.int32)
    return ModelState(stoch, jnp.zeros((spec.n_agents, config.deterministic)))


class Errors(NamedTuple):
    """The terms of the one-step prediction error, per step and agent `[time, agents]`."""

    reconstruction: Float[Array, "time agents"]
    """Smooth L1, summed over the features of the observation."""
    reward: Float[Array, "time agents"]
    continuation: Float[Array, "time agents"]
    available_actions: Float[Array, "time agents"]
    action_information: Float[Array, "time agents"]
    kl: Float[Array, "time agents"]


class Predictions(NamedTuple):
    """What the local models make of one sequence of D_e."""

    errors: Errors
    known: Bool[Array, " time"]
    """Whether the transition arriving at the step lies inside the sequence: where not, its reward, continuation
    and action mean nothing."""
    prior: ModelState
    """The arrived-at state as predicted, `[time, agents, ...]`."""
    posterior: ModelState
    """The same after the observation."""


def observe_sequence(
    models: LocalModels, key: PRNGKeyArray, sequence: Step, *, training: bool
) -> tuple[Float[Array, "time agents variables classes"], ModelState]:
    """Posterior logits and states of a sequence, `[time, agents, ...]`. The key is consumed.

    `training` draws straight-through and drops out. The first step has no past; within the sequence the state is
    reset where an episode starts.
    """
    length = sequence.first.shape[0]
    fresh = sequence.first.at[0].set(True)
    inputs = (jax.random.split(key, length), models.embed(sequence.obs), sequence.previous_action, fresh)
    state = initial_state(models.spec, models.config)
    if training:
        nothing = jnp.zeros((models.spec.n_agents, models.config.categoricals, models.config.classes))
        state = state._replace(stoch=Draw(nothing.argmax(-1), nothing))

    def step(state: ModelState, inputs: tuple) -> tuple[ModelState, tuple[Array, ModelState]]:
        key, embedded, previous_action, fresh = inputs
        key_draw, key_dropout = jax.random.split(key)
        deter = models.recur(state, previous_action, fresh=fresh, key=key_dropout if training else None)
        logits = models.posterior_logits(deter, embedded)
        draw = straight_through if training else sample_categorical
        state = ModelState(draw(key_draw, logits), deter)
        return state, (logits, state)

    return jax.lax.scan(step, state, inputs)[1]


def one_step_predictions(
    models: LocalModels, key: PRNGKeyArray, sequence: Step, *, config: ModelsConfig, training: bool
) -> Predictions:
    """Every one-step prediction of the local models on one sequence, and its error. The key is consumed."""
    key_observe, key_prior = jax.random.split(key)
    posterior_logits, posterior = observe_sequence(models, key_observe, sequence, training=training)
    prior_logits = jax.vmap(models.prior_logits)(posterior.deter)
    prior = ModelState(sample_categorical(key_prior, jax.lax.stop_gradient(prior_logits)), posterior.deter)
    obs, action_logits = jax.vmap(models.decode)(posterior)
    # stoch_{t-1} for deter_t: rolled by one; what wraps around at t = 0 is not `known`.
    before = jax.tree.map(lambda x: jnp.roll(x, 1, axis=0), posterior.stoch)
    reward, continuation = jax.vmap(models.transition)(before, posterior.deter)
    if models.available_actions is None:
        available = jnp.zeros_like(reward)
    else:
        logits = jax.vmap(models.available_actions)(posterior)
        available = bernoulli_nll(logits, sequence.avail.astype(jnp.float32)).sum(-1)
    errors = Errors(
        reconstruction=smooth_l1(obs - sequence.obs).sum(-1),
        reward=smooth_l1(reward - config.reward_scale * sequence.reward[:, None], config.reward_threshold),
        continuation=bernoulli_nll(continuation, sequence.continues[:, None]),
        available_actions=available,
        action_information=-log_prob(action_logits, jnp.maximum(sequence.previous_action, 0)),
        kl=balanced_kl(posterior_logits, prior_logits, config.kl_balance),
    )
    return Predictions(errors, ~sequence.first.at[0].set(True), prior, posterior)


def fit_models(
    key: PRNGKeyArray, models: Fitted, sample: Callable[[PRNGKeyArray], Step], config: ModelsConfig
) -> tuple[Fitted, Metrics]:
    """Line 4: train the local models on batches of D_e, which `sample` draws. The key is consumed."""

    def loss(models: LocalModels, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        key_sample, key_loss = jax.random.split(key)
        return one_step_loss(models, key_loss, sample(key_sample), config)

    return fit(key, models, loss, optimiser_of(config), config.batches, config.averaging)


def one_step_loss(
    models: LocalModels, key: PRNGKeyArray, batch: Step, config: ModelsConfig
) -> tuple[Float[Array, ""], Metrics]:
    """Line 4: the weighted sum of the mean errors over a batch of sequences `[batch, time, ...]`.

    The key is consumed.
    """
    keys = jax.random.split(key, batch.first.shape[0])
    predictions = jax.vmap(
        lambda key, sequence: one_step_predictions(models, key, sequence, config=config, training=True)
    )(keys, batch)
    errors, known = predictions.errors, predictions.known[..., None]
    means = {name: getattr(errors, name).mean() for name in ("reconstruction", "available_actions", "kl")}
    for name in ("reward", "continuation", "action_information"):
        means[name] = jnp.mean(getattr(errors, name), where=jnp.broadcast_to(known, errors.kl.shape))
    weights = {"reconstruction": config.reconstruction_weight, "reward": config.reward_weight}
    loss = sum(weights.get(name, 1.0) * value for name, value in means.items())
    return loss, {f"models/{name}": value for name, value in means.items()} | {"models/loss": loss}
