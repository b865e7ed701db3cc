"""What the on-policy methods share: playing, returns and the update; a method adds a `Network` and its options.

Every iteration plays a segment of fixed length in each of many environments and learns from the segments once. A
segment continues where the last one stopped, often in the middle of an episode, with the recurrent state at that step;
gradients go back to the segment's first item, not further.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.algorithms.contract import Play
from mag.algorithms.on_policy.config import LearningConfig, OnPolicyConfig
from mag.envs import EnvSpec
from mag.learning.distributions import log_prob, mask_logits, sample_categorical
from mag.learning.optimise import RULES, Trainable, descend, fit_epochs
from mag.learning.parallel import Workers, per_seed
from mag.learning.ppo import lambda_returns, normalised, policy_loss, weighted_mean
from mag.learning.sizes import size_of, size_of_gradient
from mag.play.collecting import Played
from mag.play.episode import arrival, empty_arrival
from mag.types import Arrival, Metrics, TimeStep

Carry = Any
"""The recurrent state of a network, a pytree `[agents, ...]`; zeros where an episode starts."""


@runtime_checkable
class Network(Protocol):
    """Policy and values of one joint state, in three parts.

    Only `recur` depends on the step before; `encode` and `heads` are computed for all steps of a segment at once.
    Parameters of a field called `critic` have the critic's learning rate.
    """

    @staticmethod
    def initial_carry(spec: EnvSpec, config: Any) -> Carry:
        """The recurrent state where an episode starts: zeros."""
        ...

    def encode(self, arrival: Arrival) -> Any:
        """Features of the joint observation."""
        ...

    def recur(self, carry: Carry, encoded: Any, arrival: Arrival) -> Carry:
        """The next recurrent state, given the features of an arrival."""
        ...

    def heads(
        self, key: PRNGKeyArray | None, carry: Carry, arrival: Arrival
    ) -> tuple[Float[Array, "agents actions"], Float[Array, " agents"]]:
        """Logits and values. Without a key, random parts of the network take their most likely outcome."""
        ...


class OnPolicyCarry(NamedTuple):
    """The recurrent state of an agent whose network is trained on policy."""

    recurrent: Carry
    """The network's recurrent state."""
    previous_action: Int[Array, " agents"]
    key: PRNGKeyArray
    """The key of the network's own draws at the next step, kept so that learning repeats the same draws."""


class OnPolicyAgent(eqx.Module):
    """The joint policy that plays, in training and in tests."""

    network: Any
    greedy_network: Any
    """The network used in tests: the moving average if one is kept."""
    epsilon: Float[Array, "*seeds"]
    """Probability of a uniformly drawn action."""
    spec: EnvSpec = eqx.field(static=True)
    config: Any = eqx.field(static=True)
    """The network's sizes."""

    def initial_carry(self, key: PRNGKeyArray) -> OnPolicyCarry:
        """See `mag.play.episode.Agent`. The key is consumed."""
        nothing = jnp.full(self.spec.n_agents, -1, jnp.int32)
        return OnPolicyCarry(self.network.initial_carry(self.spec, self.config), nothing, key)

    def act(
        self, key: PRNGKeyArray, carry: OnPolicyCarry, timestep: TimeStep, *, greedy: bool
    ) -> tuple[Int[Array, " agents"], OnPolicyCarry]:
        """Update the recurrent state with the observation, then act. The key is consumed.

        Actions do not depend on the global state, which only values read: it may be missing or another environment's.
        """
        network = self.greedy_network if greedy else self.network
        seen = arrival(timestep, jnp.where(timestep.first, -1, carry.previous_action))
        size = self.spec.state_dim
        if size is not None and (seen.state is None or seen.state.shape != (size,)):
            seen = seen._replace(state=jnp.zeros(size))
        recurrent = recur(network, carry.recurrent, network.encode(seen), seen)
        key_draw, key_next = jax.random.split(carry.key)
        logits, _ = network.heads(None if greedy else key_draw, recurrent, seen)
        if greedy:
            action = jnp.argmax(mask_logits(logits, seen.avail), -1)
        else:
            action = sample_categorical(key, behaviour(logits, seen.avail, self.epsilon))
        action = action.astype(jnp.int32)
        return action, OnPolicyCarry(recurrent, action, key_next)

    def unexploring(self) -> "OnPolicyAgent":
        """See `mag.play.episode.Explores`: no action is drawn uniformly."""
        return dataclasses.replace(self, epsilon=jnp.zeros_like(self.epsilon))


class OnPolicyState(NamedTuple):
    """Everything that a run learns."""

    key: PRNGKeyArray
    network: Trainable
    target: Any
    """An older copy of the network, whose values bootstrap the returns; None if the network's own values do."""
    transitions: Int[Array, ""]
    """Environment transitions played."""
    updates: Int[Array, ""]
    """Gradient steps taken."""


class Segment(NamedTuple):
    """One environment's steps in one iteration."""

    start: OnPolicyCarry
    """The agents' recurrent state before the first item."""
    arrivals: Arrival
    """`[time + 1, ...]`: the last item begins the next segment; this segment only bootstraps from it."""
    has_next: Bool[Array, " time"]
    """Whether a transition of the environment led from the item to the next one."""


class SegmentBatch(NamedTuple):
    """Segments with returns, advantages and weights, `[envs, ...]`."""

    segment: Segment
    log_prob: Float[Array, "envs time agents"]
    """Log-probability of each action when it was drawn."""
    returns: Float[Array, "envs time agents"]
    advantage: Float[Array, "envs time agents"]
    weight: Float[Array, "envs time agents"]
    """1 where a living agent acts; 0 for dead agents and for items without a next one."""


class OnPolicy:
    """An algorithm that learns from what its policy has just played (`mag.algorithms.contract.Algorithm`)."""

    def __init__(self, config: OnPolicyConfig, spec: EnvSpec, network: type[Network]):
        self.config, self.spec, self.network = config, spec, network
        self.num_seeds, self.workers = config.num_seeds, Workers(config.workers)
        self.optimiser = optimiser(config.learning)

    def footprint(self) -> dict[str, int]:
        """See `Algorithm.footprint`. Learning keeps what the gradient of a minibatch needs."""
        config = self.config
        key = jax.eval_shape(lambda: jax.random.key(0))
        state = jax.eval_shape(self.init.of_one_seed, key)
        agent = jax.eval_shape(self.agent, state)
        carry = jax.eval_shape(lambda agent, key: agent.initial_carry(key), agent, key)
        segment = jax.eval_shape(lambda carry: empty_segment(carry, self.spec, config.collect.steps), carry)
        one = size_of_gradient(unroll, state.network.params, segment) - size_of(state.network.params)
        envs = config.collect.num_envs
        return {
            "segments": 3 * envs * size_of(segment),
            "learning": envs * one // config.learning.minibatches,
        }

    @per_seed(runs_once=True)
    def init(self, key: PRNGKeyArray) -> OnPolicyState:
        """The state of one untrained run. The key is consumed."""
        key, key_network = jax.random.split(key)
        make: Callable[..., Any] = self.network
        network = make(key_network, self.spec, self.config.networks)
        return OnPolicyState(
            key=key,
            network=Trainable.create(network, self.optimiser, self.config.learning.ema_decay),
            target=network if self.config.learning.target_every else None,
            transitions=jnp.zeros((), jnp.int32),
            updates=jnp.zeros((), jnp.int32),
        )

    def iteration(self, state: OnPolicyState, play: Play) -> tuple[OnPolicyState, Metrics]:
        """Play a segment in every environment and learn from it."""
        key, key_play, key_learn = self.split(state.key)
        agent = self.agent(state)
        played = play(key_play, agent)
        return self.learn(key_learn, state._replace(key=key), played, agent.epsilon)

    @per_seed()
    def split(self, key: PRNGKeyArray) -> tuple[PRNGKeyArray, ...]:
        """Three keys. The key is consumed."""
        return tuple(jax.random.split(key, 3))

    @per_seed(donate=("state",))
    def learn(
        self, key: PRNGKeyArray, state: OnPolicyState, played: Played, epsilon: Float[Array, ""]
    ) -> tuple[OnPolicyState, Metrics]:
        """Several passes over the segments, played with exploration probability `epsilon`. The key is consumed."""
        config = self.config.learning
        segments = segments_of(played)
        batch = learning_batch(state.network.params, state.target, segments, config, epsilon)

        def update(network: Trainable, part: SegmentBatch) -> tuple[Trainable, Metrics]:
            return descend(
                network,
                lambda network: loss(network, part, config, epsilon),
                self.optimiser,
                ema_decay=config.ema_decay,
            )

        network, metrics = fit_epochs(
            key, state.network, batch, update, epochs=config.epochs, minibatches=config.minibatches
        )
        updates = state.updates + config.epochs * config.minibatches
        target = state.target
        if config.target_every:
            due = updates // config.target_every > state.updates // config.target_every
            target = jax.tree.map(lambda new, old: jnp.where(due, new, old), network.params, target)
        transitions = state.transitions + played.transitions.sum()
        state = state._replace(network=network, target=target, transitions=transitions, updates=updates)
        return state, metrics

    def agent(self, state: OnPolicyState) -> OnPolicyAgent:
        """See `Algorithm.agent`."""
        epsilon = self.epsilon(state.transitions)
        return OnPolicyAgent(state.network.params, state.network.weights, epsilon, self.spec, self.config.networks)

    def epsilon(self, transitions: Int[Array, "..."]) -> Float[Array, "..."]:
        """Probability of a uniformly drawn action after a number of transitions."""
        config = self.config.learning
        done = jnp.minimum(transitions / config.epsilon_steps, 1)
        return config.epsilon + done * (config.epsilon_end - config.epsilon)


def empty_segment(start: OnPolicyCarry, spec: EnvSpec, steps: int) -> Segment:
    """A segment of zeros, from which shapes are taken."""
    arrivals = jax.tree.map(lambda x: jnp.zeros((steps + 1, *x.shape), x.dtype), empty_arrival(spec, with_state=True))
    return Segment(start, arrivals, jnp.zeros(steps, bool))


def segments_of(played: Played) -> Segment:
    """The segments of all environments, `[envs, ...]`."""
    arrivals = jax.tree.map(lambda x, y: jnp.concatenate([x, y[:, None]], 1), played.arrivals, played.last)
    return Segment(played.carry, arrivals, played.has_next)


def optimiser(config: LearningConfig) -> optax.GradientTransformation:
    """An optimiser for the critic, if it is a network of its own, and one for all other parameters."""
    rule = RULES[config.optimiser]

    def part(path: tuple, _: Array) -> str:
        return "critic" if path[0] == jax.tree_util.GetAttrKey("critic") else "policy"

    return optax.multi_transform(
        {
            "policy": rule(config.learning_rate, config.max_grad_norm),
            "critic": rule(config.critic_learning_rate, config.max_grad_norm),
        },
        partial(jax.tree_util.tree_map_with_path, part),
    )


def recur(network: Network, carry: Carry, encoded: Any, step: Arrival) -> Carry:
    """`network.recur`, from a recurrent state of zeros where an episode starts."""
    carry = jax.tree.map(lambda x: jnp.where(step.first, jnp.zeros_like(x), x), carry)
    return network.recur(carry, encoded, step)


def unroll(
    network: Network, segment: Segment
) -> tuple[Float[Array, "time_plus_1 agents actions"], Float[Array, "time_plus_1 agents"]]:
    """Logits and values at every item of a segment, recomputed from its start with the draws made in play."""

    def step(carried: tuple[Carry, PRNGKeyArray], inputs: tuple[Any, Arrival]) -> tuple[Any, Any]:
        carry = recur(network, carried[0], *inputs)
        key_draw, key_next = jax.random.split(carried[1])
        return (carry, key_next), (carry, key_draw)

    encoded = jax.vmap(network.encode)(segment.arrivals)
    start = segment.start.recurrent, segment.start.key
    _, (carries, keys) = jax.lax.scan(step, start, (encoded, segment.arrivals))
    return jax.vmap(network.heads)(keys, carries, segment.arrivals)


def behaviour(
    logits: Float[Array, "agents actions"], avail: Bool[Array, "agents actions"], epsilon: Float[Array, ""]
) -> Float[Array, "agents actions"]:
    """Log-probabilities in play: a uniform available action with probability `epsilon`, else the policy's action."""
    policy = jax.nn.log_softmax(mask_logits(logits, avail))
    uniform = jax.nn.log_softmax(mask_logits(jnp.zeros_like(logits), avail))
    return jnp.logaddexp(jnp.log1p(-epsilon) + policy, jnp.log(epsilon) + uniform)


def actions(segment: Segment) -> Int[Array, "time agents"]:
    """The action taken at each item, which the next item stores."""
    return segment.arrivals.previous_action[1:]


def segment_returns(
    value: Float[Array, "time_plus_1 agents"], segment: Segment, config: LearningConfig
) -> Float[Array, "time agents"]:
    """Lambda-returns of a segment.

    The value after a real end is 0; where the time limit or the segment cuts an episode, the last item's value
    bootstraps the return. A dead agent's value is not trained: with a team reward it is replaced by the mean value of
    the living agents, with rewards of the agents' own by 0.
    """
    steps = segment.arrivals
    alive = steps.alive.astype(value.dtype)
    rewards = steps.rewards
    of_dead = jax.vmap(weighted_mean)(value, alive)[:, None] if rewards.shape[-1] == 1 else 0.0
    value = jnp.where(steps.alive, value, of_dead)
    # The return of an item without a next one is its own value: R_t = v_t + 0.
    has_next = segment.has_next[:, None]
    reward = jnp.where(has_next, config.reward_scale * rewards[1:], value[:-1])
    continues = jnp.where(has_next, steps.continues[1:, None], 0.0) * jnp.ones_like(reward)
    return lambda_returns(reward, continues, value, gamma=config.gamma, gae_lambda=config.gae_lambda)


def learning_batch(
    network: Network, target: Network | None, segments: Segment, config: LearningConfig, epsilon: Float[Array, ""]
) -> SegmentBatch:
    """Returns and advantages of segments `[envs, ...]`; `target` gives the values to bootstrap from."""

    def one(segment: Segment) -> SegmentBatch:
        logits, value = unroll(network, segment)
        logs = jax.vmap(behaviour, (0, 0, None))(logits[:-1], segment.arrivals.avail[:-1], epsilon)
        bootstrap = value if target is None else unroll(target, segment)[1]
        returns = segment_returns(bootstrap, segment, config)
        weight = (segment.has_next[:, None] & segment.arrivals.alive[:-1]).astype(value.dtype)
        return SegmentBatch(segment, log_prob(logs, actions(segment)), returns, returns - value[:-1], weight)

    batch = jax.vmap(one)(segments)
    return batch._replace(advantage=normalised(batch.advantage, batch.weight)) if config.normalise else batch


def loss(
    network: Network, batch: SegmentBatch, config: LearningConfig, epsilon: Float[Array, ""]
) -> tuple[Float[Array, ""], Metrics]:
    """PPO's clipped loss and half the squared error of the values, both over living agents."""
    logits, value = jax.vmap(partial(unroll, network))(batch.segment)
    avail = batch.segment.arrivals.avail[:, :-1]
    logs = jax.vmap(jax.vmap(behaviour, (0, 0, None)), (0, 0, None))(logits[:, :-1], avail, epsilon)
    policy, metrics = policy_loss(
        logs,
        jax.vmap(actions)(batch.segment),
        old_log_prob=batch.log_prob,
        advantage=batch.advantage,
        clip=config.clip,
        entropy_coefficient=config.entropy,
        weight=batch.weight,
    )
    critic = 0.5 * weighted_mean(jnp.square(value[:, :-1] - batch.returns), batch.weight)
    return policy + config.value_coefficient * critic, metrics | {"critic/loss": critic}
