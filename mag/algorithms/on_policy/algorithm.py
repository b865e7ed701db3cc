"""What the on-policy methods share: playing and learning; a method adds a `Network` (`agent`) and its options.

Every iteration plays a segment of fixed length in each of many environments and learns from the segments once.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from mag.algorithms.contract import Play
from mag.algorithms.on_policy.agent import Network, OnPolicyAgent
from mag.algorithms.on_policy.config import LearningConfig, OnPolicyConfig
from mag.algorithms.on_policy.segments import SegmentBatch, empty_segment, learning_batch, loss, segments_of, unroll
from mag.envs import EnvSpec
from mag.learning.optimise import RULES, Trainable, descend, fit_epochs
from mag.learning.parallel import Workers, per_seed
from mag.learning.sizes import size_of, size_of_gradient
from mag.play.collecting import Played
from mag.types import Metrics


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
