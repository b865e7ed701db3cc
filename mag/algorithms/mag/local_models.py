"""The local models: encoder, attention over agents, recurrent state space model, heads (Sec. 2 "MAMBA", line 4).

All agents share one set of weights. Everything is written for one joint state `[agents, ...]`.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.algorithms.mag.config import ModelsConfig, NetworksConfig
from mag.algorithms.mag.joint_events import Event, JointEvents, mixture_kl
from mag.algorithms.mag.stages import Stages
from mag.algorithms.mag.world_model import OneStep, Outcome, Reader, WorldModel
from mag.envs import EnvSpec
from mag.learning.distributions import (
    Draw,
    Latent,
    balanced_kl,
    bernoulli_nll,
    log_prob,
    sample_categorical,
    smooth_l1,
    straight_through,
    two_hot_kl,
    two_hot_mean,
)
from mag.learning.networks import (
    ACTIVATIONS,
    MLP,
    Activation,
    AgentAttention,
    GRUCell,
    Initialiser,
    Linear,
    SplitLinear,
)
from mag.types import Arrival, Metrics


class ModelState(NamedTuple):
    """One joint state of the local models: a drawn latent and a recurrent state per agent."""

    stoch: Latent
    deter: Float[Array, "agents deterministic"]
    alive: Bool[Array, " agents"] | None = None
    """Which agents are alive (none after an end); None without joint events."""


class FeatureMLP(eqx.Module):
    """An MLP on the features (stoch, deter) of a model state, `[agents, ...] -> [agents, outputs]`.

    With a single size it is one linear layer.
    """

    first: SplitLinear
    rest: MLP | None
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        key: PRNGKeyArray,
        latent: int,
        deterministic: int,
        sizes: tuple[int, ...],
        activation: Activation,
        init: Initialiser = "xavier",
    ):
        key_first, key_rest = jax.random.split(key) if len(sizes) > 1 else (key, None)
        self.first = SplitLinear(key_first, latent, deterministic, sizes[0], init)
        self.rest = None if key_rest is None else MLP(key_rest, sizes, activation, init)
        self.activation = activation

    def __call__(self, state: ModelState) -> Float[Array, "agents outputs"]:
        hidden = self.first(state.stoch, state.deter)
        return hidden if self.rest is None else self.rest(ACTIVATIONS[self.activation](hidden))


class LocalModels(WorldModel):
    """A recurrent state space model per agent: `predict` and `observe` advance the state, other methods read it."""

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
    available_head: FeatureMLP | None
    action_features: MLP
    action_output: Linear
    events: JointEvents | None
    stages: Stages | None
    spec: EnvSpec = eqx.field(static=True)
    networks: NetworksConfig = eqx.field(static=True)
    config: ModelsConfig = eqx.field(static=True)

    def __init__(self, key: PRNGKeyArray, spec: EnvSpec, networks: NetworksConfig, config: ModelsConfig):
        keys = iter(jax.random.split(key, 14))
        # Folded in, not split off: the other parts keep the parameters they had before these two existed.
        key_events, key_stages = (jax.random.fold_in(key, number) for number in (14, 15))
        hidden, deterministic = networks.hidden, networks.deterministic
        latent = networks.latent

        def head(outputs: int) -> FeatureMLP:
            return FeatureMLP(next(keys), latent, deterministic, (hidden, hidden, outputs), "elu")

        self.encoder = MLP(next(keys), (spec.obs_dim, hidden, hidden, hidden, hidden), "relu")
        self.recurrent_input = SplitLinear(next(keys), latent, spec.n_actions, hidden)
        self.attention = AgentAttention(next(keys), hidden, networks.heads, networks.attention_layers)
        self.recurrence = GRUCell(next(keys), hidden, deterministic)
        self.prior = MLP(next(keys), (deterministic, hidden, latent), "relu")
        self.posterior_input = SplitLinear(next(keys), deterministic, hidden, hidden)
        self.posterior_output = Linear(next(keys), hidden, latent)
        self.decoder = FeatureMLP(next(keys), latent, deterministic, (hidden, hidden, hidden), "relu")
        self.decoder_output = Linear(next(keys), hidden, spec.obs_dim)
        self.reward, self.continuation = head(config.reward_bins or 1), head(1)
        self.available_head = head(spec.n_actions) if spec.has_masks else None
        self.action_features = MLP(next(keys), (hidden, hidden, hidden), "elu")
        self.action_output = Linear(next(keys), hidden, spec.n_actions)
        self.events = JointEvents(key_events, spec.n_agents, networks) if networks.joint_events else None
        self.stages = Stages(key_stages, networks) if networks.stages > 1 else None
        self.spec, self.networks, self.config = spec, networks, config

    def initial(self) -> ModelState:
        """See `WorldModel.initial`."""
        stoch = jnp.zeros((self.spec.n_agents, self.networks.categoricals), jnp.int32)
        alive = None if self.events is None else jnp.ones(self.spec.n_agents, bool)
        return ModelState(stoch, jnp.zeros((self.spec.n_agents, self.networks.deterministic)), alive)

    def predict(self, key: PRNGKeyArray, state: ModelState, action: Int[Array, " agents"]) -> ModelState:
        """One sample of the next joint state from the prior: P^i(. | o, a) of Definition 1. The key is consumed.

        With joint events the team's event is drawn first, then each agent's latent given the event.
        """
        # The first half of the key draws the event. `_predict` draws the latent with the second half or, without
        # events, with the whole key.
        return self._predict(jax.random.split(key)[0], key, state, action)

    def predict_with(
        self, key_event: PRNGKeyArray, key: PRNGKeyArray, state: ModelState, action: Int[Array, " agents"]
    ) -> ModelState:
        """See `WorldModel.predict_with`. A subclass that predicts in its own way shares nothing."""
        if type(self).predict is not LocalModels.predict:
            return self.predict(key, state, action)
        return self._predict(key_event, key, state, action)

    def _predict(
        self, key_event: PRNGKeyArray, key: PRNGKeyArray, state: ModelState, action: Int[Array, " agents"]
    ) -> ModelState:
        deter = self.recur(state, action)
        if self.events is None:
            return ModelState(self.draw_prior(key, self.prior_hidden(deter)), deter)
        key_latent = jax.random.split(key)[1]
        continuation = self.continuation(ModelState(state.stoch, deter))[..., 0]
        assert state.alive is not None
        event = self.events.draw(key_event, state.alive, deter, continuation, self.config.end_factor)
        return ModelState(self.draw_prior(key_latent, self.prior_hidden(deter, event)), deter, event.alive)

    def observe(self, key: PRNGKeyArray, state: ModelState, arrival: Arrival) -> ModelState:
        """The next joint state, corrected by what was observed (posterior). The key is consumed."""
        deter = self.recur(state, arrival.previous_action, fresh=arrival.first)
        logits = self.posterior_logits(deter, self.embed(arrival.obs))
        return ModelState(sample_categorical(key, logits), deter, self.stored_alive(arrival.alive))

    def recur(
        self,
        state: ModelState,
        action: Int[Array, " agents"],
        *,
        fresh: Bool[Array, ""] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "agents deterministic"]:
        """The recurrent state after a joint action: f = Attention(l), then the GRU.

        Where `fresh` is true an episode starts, and the state before counts as zero. An action of -1 counts as no
        action. With a key, the attention uses dropout.
        """
        latent, deter = self.recurrent_input.embed(state.stoch), state.deter
        if fresh is not None:
            latent, deter = jnp.where(fresh, 0, latent), jnp.where(fresh, 0, deter)
        action_part = jax.nn.one_hot(action, self.spec.n_actions) @ self.recurrent_input.right
        x = jax.nn.relu(latent + action_part + self.recurrent_input.bias)
        return self.recurrence(self.attention(x, key=key, rate=self.networks.dropout), deter)

    def prior_hidden(
        self, deter: Float[Array, "agents deterministic"], event: Event | None = None
    ) -> Float[Array, "agents hidden"]:
        """The prior's hidden layer before its activation; with joint events given one of them."""
        hidden = self.prior.layers[0](deter)
        if event is None:
            return hidden
        assert self.events is not None
        return hidden + self.events.given(event)

    def prior_logits(
        self, hidden: Float[Array, "*time agents hidden"], drawn: Int[Array, "*time agents variables"]
    ) -> Float[Array, "*time agents variables classes"]:
        """Logits of the latent before the observation; in stages, each group's given the variables `drawn` before."""
        output = self.prior.layers[1]
        if self.stages is None:
            return self._logits(output(jax.nn.relu(hidden)))
        return self.stages.logits(output, hidden, drawn)

    def draw_prior(
        self, key: PRNGKeyArray, hidden: Float[Array, "*time agents hidden"]
    ) -> Int[Array, "*time agents variables"]:
        """The latent before the observation: one sample. The key is consumed."""
        output = self.prior.layers[1]
        if self.stages is None:
            return sample_categorical(key, self._logits(output(jax.nn.relu(hidden))))
        return self.stages.draw(key, output, hidden)

    def stored_alive(self, alive: Bool[Array, "*time agents"]) -> Bool[Array, "*time agents"] | None:
        """`alive` as a model state stores it: None without joint events."""
        return None if self.events is None else alive

    def embed(self, obs: Float[Array, "*time agents obs"]) -> Float[Array, "*time agents hidden"]:
        """What the observation adds to the posterior's hidden layer."""
        return self.encoder(obs) @ self.posterior_input.right + self.posterior_input.bias

    def posterior_logits(
        self, deter: Float[Array, "agents deterministic"], embedded: Float[Array, "agents hidden"]
    ) -> Float[Array, "agents variables classes"]:
        """Logits of the latent given an embedded observation."""
        hidden = jax.nn.relu(deter @ self.posterior_input.left + embedded)
        return self._logits(self.posterior_output(hidden))

    def decode(self, state: ModelState) -> Float[Array, "agents obs"]:
        """The joint observation decoded from a state."""
        return self.decode_all(state)[0]

    def decode_all(self, state: ModelState) -> tuple[Float[Array, "agents obs"], Float[Array, "agents actions"]]:
        """The joint observation, and the logits of each agent's previous action, decoded from a state."""
        hidden = jax.nn.relu(self.decoder(state))
        action = self.action_output(jax.nn.relu(self.action_features(hidden)))
        return self.decoder_output(hidden), action

    def outcome(self, before: ModelState, after: ModelState) -> Outcome:
        """Reward and continuation of the transition t -> t+1.

        Both are read from (stoch_t, deter_{t+1}), because deter_{t+1} already holds the joint action a_t.
        """
        state = ModelState(before.stoch, after.deter)
        reward, continuation = self.mean_reward(self.reward(state)), self.continuation(state)[..., 0]
        if after.alive is None:
            return Outcome(reward, jax.nn.sigmoid(continuation))
        goes_on = after.alive.any().astype(reward.dtype)  # `predict` drew the end
        return Outcome(reward, jnp.broadcast_to(goes_on, reward.shape))

    def alive(self, state: ModelState) -> Bool[Array, " agents"] | None:
        """See `WorldModel.alive`: known with joint events."""
        return state.alive

    def mean_reward(self, outputs: Float[Array, "*time agents outputs"]) -> Float[Array, "*time agents"]:
        """The predicted reward, times `models.reward_scale`, from the reward head's outputs."""
        return two_hot_mean(outputs) if self.config.reward_bins else outputs[..., 0]

    def reward_error(
        self, outputs: Float[Array, "time agents outputs"], reward: Float[Array, " time #agents"]
    ) -> Float[Array, "time agents"]:
        """The reward head's loss per step and agent."""
        target = self.config.reward_scale * reward
        if self.config.reward_bins:
            return two_hot_kl(outputs, target)
        return smooth_l1(outputs[..., 0] - target, self.config.reward_threshold)

    def available(self, key: PRNGKeyArray, state: ModelState) -> Bool[Array, "agents actions"] | None:
        """See `WorldModel.available`: independent Bernoullis."""
        if self.available_head is None:
            return None
        chance = jax.nn.sigmoid(self.available_head(state))
        return jax.random.uniform(key, chance.shape) < chance

    def reader(
        self, key: PRNGKeyArray, sizes: tuple[int, ...], activation: Activation, init: Initialiser = "xavier"
    ) -> Reader:
        """See `WorldModel.reader`: an MLP on each agent's own features."""
        latent = self.networks.latent
        return FeatureMLP(key, latent, self.networks.deterministic, sizes, activation, init)

    def observe_sequence(self, key: PRNGKeyArray, sequence: Arrival) -> ModelState:
        """See `WorldModel.observe_sequence`; all observations are encoded at once."""
        return observe_sequence(self, key, sequence, training=False)[1]

    def loss(self, key: PRNGKeyArray, batch: Arrival) -> tuple[Float[Array, ""], Metrics]:
        """Line 4: the weighted sum of the mean errors over a batch of sequences. The key is consumed."""
        keys = jax.random.split(key, batch.first.shape[0])
        predictions = jax.vmap(lambda key, sequence: one_step_predictions(self, key, sequence, training=True))(
            keys, batch
        )
        errors, known = predictions.errors, predictions.known[..., None]
        means = {name: getattr(errors, name).mean() for name in ("reconstruction", "available_actions", "life")}
        for name in ("reward", "continuation", "action_information", "kl"):
            means[name] = jnp.mean(getattr(errors, name), where=jnp.broadcast_to(known, errors.kl.shape))
        config = self.config
        weights = {
            "reconstruction": config.reconstruction_weight,
            "reward": config.reward_weight,
            "kl": config.kl_weight,
        }
        loss = sum(weights.get(name, 1.0) * value for name, value in means.items())
        return loss, {f"models/{name}": value for name, value in means.items()} | {"models/loss": loss}

    def one_step(self, key: PRNGKeyArray, sequence: Arrival) -> OneStep:
        """See `WorldModel.one_step`: the error is the unweighted sum of all terms of the loss, the reconstruction
        averaged over features."""
        predictions = one_step_predictions(self, key, sequence, training=False)
        errors = predictions.errors
        features = sequence.obs.shape[-1]
        error = jnp.stack(errors._replace(reconstruction=errors.reconstruction / features)).sum(0)
        return OneStep(predictions.prior, error, predictions.known)

    def _logits(self, x: Float[Array, "*batch latent"]) -> Float[Array, "*batch variables classes"]:
        return x.reshape(*x.shape[:-1], self.networks.categoricals, self.networks.classes)


class Errors(NamedTuple):
    """The terms of the one-step prediction error, per step and agent `[time, agents]`."""

    reconstruction: Float[Array, "time agents"]
    """Smooth L1, summed over the features of the observation."""
    reward: Float[Array, "time agents"]
    continuation: Float[Array, "time agents"]
    available_actions: Float[Array, "time agents"]
    """Negative log-likelihood of the mask; 0 with joint events where nobody is alive."""
    action_information: Float[Array, "time agents"]
    kl: Float[Array, "time agents"]
    life: Float[Array, "time agents"]
    """Negative log-likelihood of which agents survive, the team's divided by the number of agents; 0 without joint
    events and where nobody's survival is open (all dead, or the episode ends)."""


class Predictions(NamedTuple):
    """The local models' one-step predictions on one sequence of D_e."""

    errors: Errors
    known: Bool[Array, " time"]
    """Whether the transition arriving at the step lies inside the sequence: where not, its reward, continuation
    and action mean nothing, and its prior predicts nothing."""
    prior: ModelState
    """The arrived-at state as predicted, `[time, agents, ...]`."""
    posterior: ModelState
    """The same state given the observation."""


def observe_sequence(
    models: LocalModels, key: PRNGKeyArray, sequence: Arrival, *, training: bool
) -> tuple[Float[Array, "time agents variables classes"], ModelState]:
    """Posterior logits and states of a sequence, `[time, agents, ...]`. The key is consumed.

    With `training`, draws have a straight-through gradient and the attention uses dropout. The first step has no past;
    within the sequence the state is reset where an episode starts.
    """
    length = sequence.first.shape[0]
    fresh = sequence.lacks_past
    keys, alive = jax.random.split(key, length), models.stored_alive(sequence.alive)
    inputs = (keys, models.embed(sequence.obs), sequence.previous_action, fresh, alive)
    state = models.initial()
    if training:
        nothing = jnp.zeros((models.spec.n_agents, models.networks.categoricals, models.networks.classes))
        state = state._replace(stoch=Draw(nothing.argmax(-1), nothing))

    def step(state: ModelState, inputs: tuple) -> tuple[ModelState, tuple[Array, ModelState]]:
        key, embedded, previous_action, fresh, alive = inputs
        key_draw, key_dropout = jax.random.split(key)
        deter = models.recur(state, previous_action, fresh=fresh, key=key_dropout if training else None)
        logits = models.posterior_logits(deter, embedded)
        draw = straight_through if training else sample_categorical
        state = ModelState(draw(key_draw, logits), deter, alive)
        return state, (logits, state)

    return jax.lax.scan(step, state, inputs)[1]


def one_step_predictions(models: LocalModels, key: PRNGKeyArray, sequence: Arrival, *, training: bool) -> Predictions:
    """Every one-step prediction of the local models on one sequence, and its error. The key is consumed."""
    key_observe, key_prior = jax.random.split(key)
    posterior_logits, posterior = observe_sequence(models, key_observe, sequence, training=training)
    hidden, kl, life = prior_terms(models, posterior_logits, posterior, sequence)
    prior = posterior._replace(stoch=models.draw_prior(key_prior, jax.lax.stop_gradient(hidden)))
    obs, action_logits = jax.vmap(models.decode_all)(posterior)
    # stoch_{t-1} for deter_t: rolled by one; what wraps around at t = 0 is not `known`.
    before = jax.tree.map(lambda x: jnp.roll(x, 1, axis=0), posterior.stoch)
    outcome = ModelState(before, posterior.deter)
    reward, continuation = jax.vmap(models.reward)(outcome), jax.vmap(models.continuation)(outcome)[..., 0]
    if models.available_head is None:
        available = jnp.zeros_like(continuation)
    else:
        logits = jax.vmap(models.available_head)(posterior)
        available = bernoulli_nll(logits, sequence.avail.astype(jnp.float32)).sum(-1)
        if models.events is not None:  # after an end, which the dead do not observe, every action is available
            available = jnp.where(sequence.alive.any(-1, keepdims=True), available, 0)
    errors = Errors(
        reconstruction=smooth_l1(obs - sequence.obs).sum(-1),
        reward=models.reward_error(reward, sequence.rewards),
        continuation=bernoulli_nll(continuation, sequence.continues[:, None]),
        available_actions=available,
        action_information=-log_prob(action_logits, jnp.maximum(sequence.previous_action, 0)),
        kl=kl,
        life=life,
    )
    return Predictions(errors, ~sequence.lacks_past, prior, posterior)


class PriorTerms(NamedTuple):
    """The prior along a sequence, and its errors."""

    hidden: Float[Array, "time agents hidden"]
    """The prior's hidden layer; with joint events, given which agents are alive and the likeliest component."""
    kl: Float[Array, "time agents"]
    """KL from the posterior to the prior, mean over variables."""
    life: Float[Array, "time agents"]
    """See `Errors.life`."""


def prior_terms(
    models: LocalModels,
    posterior_logits: Float[Array, "time agents variables classes"],
    posterior: ModelState,
    sequence: Arrival,
) -> PriorTerms:
    """The prior along a sequence, the posterior's KL to it, and the negative log-likelihood of who survives.

    In stages, the KL of a group is that given the posterior's draws of the groups before (the chain rule).
    """
    events, balance, deter = models.events, models.config.kl_balance, posterior.deter
    drawn = posterior.stoch.classes if isinstance(posterior.stoch, Draw) else posterior.stoch
    if events is None:
        hidden = jax.vmap(models.prior_hidden)(deter)
        kl = balanced_kl(posterior_logits, models.prior_logits(hidden, drawn), balance)
        return PriorTerms(hidden, kl, jnp.zeros_like(kl))
    was_alive = jnp.roll(sequence.alive, 1, axis=0)
    is_open = was_alive & ((sequence.continues > 0) & ~sequence.lacks_past)[:, None]
    log_joint = jax.vmap(events.component_logs)(deter) + jax.vmap(events.life_logs)(deter, sequence.alive, is_open)
    life = -jax.nn.logsumexp(log_joint, -1) / models.spec.n_agents
    log_weights = jax.nn.log_softmax(log_joint)  # of the components, given which agents survived

    def given(deter: Array, alive: Array) -> Array:
        components = jnp.arange(events.components)
        return jax.vmap(lambda component: models.prior_hidden(deter, Event(alive, component)))(components)

    hidden = jax.vmap(given)(deter, sequence.alive)
    priors = jax.vmap(lambda hidden, drawn: jax.vmap(models.prior_logits, (0, None))(hidden, drawn))(hidden, drawn)
    kl = jax.vmap(lambda p, q, w: mixture_kl(p, q, w, balance))(posterior_logits, priors, log_weights)
    likeliest = jax.vmap(lambda hidden, best: hidden[best])(hidden, log_weights.argmax(-1))
    whole = (len(life), models.spec.n_agents)
    return PriorTerms(likeliest, jnp.broadcast_to(kl[:, None], whole), jnp.broadcast_to(life[:, None], whole))
