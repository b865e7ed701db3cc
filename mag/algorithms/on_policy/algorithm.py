"""What the baselines share: playing, remembering, returns, and the update; a method is a `Network` and its numbers.

Every turn plays a segment of fixed length in each of many environments and learns from it once. A segment
begins where the last one stopped, in the middle of an episode, with the memory of then; gradients go back to
its first item, not further.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.algorithms.on_policy.config import BaselineConfig, LearningConfig
from mag.envs import Env, EnvSpec
from mag.learning.distributions import log_prob, mask_logits, sample_categorical
from mag.learning.optimise import RULES, Fitted, descend, fit_epochs, untrained
from mag.learning.parallel import over_seeds
from mag.learning.ppo import lambda_returns, normalised, policy_loss, weighted_mean
from mag.play import collect
from mag.play.collect import Collector
from mag.runs.footprint import size_of
from mag.types import Episodes, Metrics, Step, TimeStep

Memory = Any
"""What a network carries from step to step, a pytree `[agents, ...]`; zeros where an episode starts."""


@runtime_checkable
class Network(Protocol):
    """Policy and values of one joint state, in three parts.

    Only the middle one depends on the step before; the others are computed for all steps of a segment at once.
    Parameters of a field called `critic` learn at the critic's rate.
    """

    @staticmethod
    def blank(spec: EnvSpec, config: Any) -> Memory:
        """The memory where an episode starts: zeros."""
        ...

    def encode(self, step: Step) -> Any:
        """What is read from the joint observation."""
        ...

    def remember(self, memory: Memory, encoded: Any, step: Step) -> Memory:
        """The memory after what was read."""
        ...

    def decide(
        self, key: PRNGKeyArray | None, memory: Memory, step: Step
    ) -> tuple[Float[Array, "agents actions"], Float[Array, " agents"]]:
        """Logits and values. Without a key, whatever the network draws is its most likely outcome."""
        ...


class AgentState(NamedTuple):
    """What a joint agent carries from step to step."""

    memory: Memory
    previous_action: Int[Array, " agents"]
    key: PRNGKeyArray
    """Of what the network draws at the next step; kept here so that learning draws the same again."""


class JointPolicy(NamedTuple):
    """What acting takes."""

    network: Any
    epsilon: Float[Array, ""]
    """Probability of a uniformly drawn action."""


class OnPolicyState(NamedTuple):
    """Everything a run is made of."""

    key: PRNGKeyArray
    network: Fitted
    target: Any
    """The older copy of the network whose values bootstrap; None where the network's own do."""
    collectors: Collector
    transitions: Int[Array, ""]
    """Environment transitions played."""
    updates: Int[Array, ""]
    """Gradient steps taken."""


class Segment(NamedTuple):
    """What one environment showed in one turn."""

    start: AgentState
    """The agents' before the first item."""
    steps: Step
    """`[time + 1]`: the last item is where the next segment begins; it is only bootstrapped from."""
    followed: Bool[Array, " time"]
    """Whether a transition of the environment led from the item to the next one."""


class Batch(NamedTuple):
    """Segments and what is to be learned from them, `[envs, ...]`."""

    segment: Segment
    log_prob: Float[Array, "envs time agents"]
    """Of the actions when they were drawn."""
    returns: Float[Array, "envs time agents"]
    advantage: Float[Array, "envs time agents"]
    weight: Float[Array, "envs time agents"]
    """1 where an agent that lives acts, 0 elsewhere: the dead and items that nothing follows teach nothing."""


class OnPolicy:
    """An algorithm that learns from what its policy has just played (`mag.algorithms.contract.Algorithm`)."""

    def __init__(self, config: BaselineConfig, env: Env, network: type[Network]):
        self.config, self.env, self.network = config, env, network
        self.optimiser = optimiser(config.learning)
        self._iterate = over_seeds(self.iterate, config.num_seeds, donate=(0,))

    def memory(self) -> dict[str, int]:
        """See `Algorithm.memory`. Learning keeps what going back through a minibatch needs."""

        def turn(key: PRNGKeyArray) -> tuple[Segment, Any]:
            state = self.init(key)
            _, segments, *_ = self.play(key, self.policy(state), state.collectors)
            return segments, jax.vjp(lambda network: jax.vmap(partial(replay, network))(segments), state.network.params)

        segments, learning = map(size_of, jax.eval_shape(turn, jax.random.key(0)))
        return {"segments": 3 * segments, "learning": learning // self.config.learning.minibatches}

    def init(self, key: PRNGKeyArray) -> OnPolicyState:
        """The state of one untrained run. The key is consumed."""
        key, key_network, key_envs, key_agents = jax.random.split(key, 4)
        make: Callable[..., Any] = self.network
        network = make(key_network, self.env.spec, self.config.networks)
        keys = (jax.random.split(each, self.config.collect.num_envs) for each in (key_envs, key_agents))
        return OnPolicyState(
            key=key,
            network=untrained(network, self.optimiser),
            target=network if self.config.learning.target_every else None,
            collectors=jax.vmap(self._start)(*keys),
            transitions=jnp.zeros((), jnp.int32),
            updates=jnp.zeros((), jnp.int32),
        )

    def _start(self, key_env: PRNGKeyArray, key_agent: PRNGKeyArray) -> Collector:
        return collect.start(key_env, self.env, self.initial_state()._replace(key=key_agent))

    def iteration(self, state: OnPolicyState) -> tuple[OnPolicyState, Metrics, Episodes, Int[Array, " seeds"]]:
        """Play a segment in every environment and learn from it."""
        return self._iterate(state)

    def iterate(self, state: OnPolicyState) -> tuple[OnPolicyState, Metrics, Episodes, Int[Array, ""]]:
        """`iteration` of one seed."""
        key, key_play, key_learn = jax.random.split(state.key, 3)
        policy = self.policy(state)
        collectors, segments, episodes, played = self.play(key_play, policy, state.collectors)
        state = state._replace(key=key, collectors=collectors, transitions=state.transitions + played)
        state, metrics = self.learn(key_learn, state, segments, policy.epsilon)
        return state, metrics, episodes, played

    def play(
        self, key: PRNGKeyArray, policy: JointPolicy, collectors: Collector
    ) -> tuple[Collector, Segment, Episodes, Int[Array, ""]]:
        """A segment of each environment, `[envs, ...]`. The key is consumed."""

        def act(key: PRNGKeyArray, memory: AgentState, timestep: TimeStep) -> tuple[Array, AgentState]:
            return self.act(key, policy, memory, timestep, greedy=False)

        after, played = collect.collect(key, collectors, env=self.env, act=act, steps=self.config.collect.steps)
        last = jax.vmap(collect.record)(after)
        steps = jax.tree.map(lambda x, y: jnp.concatenate([x, y[:, None]], 1), played.steps, last.steps)
        followed = jnp.concatenate([played.transitions[1:].T, last.transitions[:, None]], 1)
        segments = Segment(collectors.agent_state, steps, followed)
        return after, segments, played.episodes, played.transitions.sum()

    def learn(
        self, key: PRNGKeyArray, state: OnPolicyState, segments: Segment, epsilon: Float[Array, ""]
    ) -> tuple[OnPolicyState, Metrics]:
        """Several passes over the segments, which were played with `epsilon`. The key is consumed."""
        config = self.config.learning
        batch = learning_batch(state.network.params, state.target, segments, config, epsilon)

        def update(network: Fitted, part: Batch) -> tuple[Fitted, Metrics]:
            return descend(network, lambda network: loss(network, part, config, epsilon), self.optimiser)

        network, metrics = fit_epochs(
            key, state.network, batch, update, epochs=config.epochs, minibatches=config.minibatches
        )
        updates = state.updates + config.epochs * config.minibatches
        target = state.target
        if config.target_every:
            due = updates // config.target_every > state.updates // config.target_every
            target = jax.tree.map(lambda new, old: jnp.where(due, new, old), network.params, target)
        return state._replace(network=network, target=target, updates=updates), metrics

    def epsilon(self, transitions: Int[Array, "..."]) -> Float[Array, "..."]:
        """Probability of a uniformly drawn action after so many transitions."""
        config = self.config.learning
        done = jnp.minimum(transitions / config.epsilon_steps, 1)
        return config.epsilon + done * (config.epsilon_end - config.epsilon)

    # The agent.

    def initial_state(self) -> AgentState:
        """The memory of one joint agent before its first time step."""
        spec = self.env.spec
        nothing = jnp.full(spec.n_agents, -1, jnp.int32)
        return AgentState(self.network.blank(spec, self.config.networks), nothing, jax.random.key(0))

    def policy(self, state: OnPolicyState) -> JointPolicy:
        """What acting takes."""
        return JointPolicy(state.network.params, self.epsilon(state.transitions))

    def act(
        self,
        key: PRNGKeyArray,
        policy: JointPolicy,
        agent_state: AgentState,
        timestep: TimeStep,
        *,
        greedy: bool,
    ) -> tuple[Int[Array, " agents"], AgentState]:
        """Remember what is seen, and act on it. The key is consumed."""
        network = policy.network
        step = collect.arrival(timestep, jnp.where(timestep.first, -1, agent_state.previous_action))
        memory = recall(network, agent_state.memory, network.encode(step), step)
        key_draw, key_next = jax.random.split(agent_state.key)
        logits, _ = network.decide(None if greedy else key_draw, memory, step)
        if greedy:
            action = jnp.argmax(mask_logits(logits, step.avail), -1)
        else:
            action = sample_categorical(key, behaviour(logits, step.avail, policy.epsilon))
        action = action.astype(jnp.int32)
        return action, AgentState(memory, action, key_next)


def optimiser(config: LearningConfig) -> optax.GradientTransformation:
    """One rule for the critic where it is a network of its own, one for everything else."""
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


def recall(network: Network, memory: Memory, encoded: Any, step: Step) -> Memory:
    """`network.remember`, from a blank memory where an episode starts."""
    memory = jax.tree.map(lambda x: jnp.where(step.first, jnp.zeros_like(x), x), memory)
    return network.remember(memory, encoded, step)


def replay(
    network: Network, segment: Segment
) -> tuple[Float[Array, "time_plus_1 agents actions"], Float[Array, "time_plus_1 agents"]]:
    """Logits and values at every item of a segment, remembering and drawing as when it was played."""

    def moment(carried: tuple[Memory, PRNGKeyArray], inputs: tuple[Any, Step]) -> tuple[Any, Any]:
        memory = recall(network, carried[0], *inputs)
        key_draw, key_next = jax.random.split(carried[1])
        return (memory, key_next), (memory, key_draw)

    encoded = jax.vmap(network.encode)(segment.steps)
    start = segment.start.memory, segment.start.key
    _, (memories, keys) = jax.lax.scan(moment, start, (encoded, segment.steps))
    return jax.vmap(network.decide)(keys, memories, segment.steps)


def behaviour(
    logits: Float[Array, "agents actions"], avail: Bool[Array, "agents actions"], epsilon: Float[Array, ""]
) -> Float[Array, "agents actions"]:
    """Log-probabilities of what is played: with probability `epsilon` any available action, else the policy's."""
    policy = jax.nn.log_softmax(mask_logits(logits, avail))
    uniform = jax.nn.log_softmax(mask_logits(jnp.zeros_like(logits), avail))
    return jnp.logaddexp(jnp.log1p(-epsilon) + policy, jnp.log(epsilon) + uniform)


def actions(segment: Segment) -> Int[Array, "time agents"]:
    """What was done at each item; it stands in the item that follows."""
    return segment.steps.previous_action[1:]


def segment_returns(
    value: Float[Array, "time_plus_1 agents"], segment: Segment, config: LearningConfig
) -> Float[Array, "time agents"]:
    """Lambda-returns of a segment.

    A real end is worth nothing; where the time limit or the segment cuts an episode, its last item's value stands
    for what would have followed. The value of a dead agent is the mean of those who live: it learns none itself.
    """
    steps = segment.steps
    alive = steps.alive.astype(value.dtype)
    living = jax.vmap(weighted_mean)(value, alive)
    value = jnp.where(steps.alive, value, living[:, None])
    # An item that nothing follows is worth its own value: R_t = v_t + 0.
    followed = segment.followed[:, None]
    reward = jnp.where(followed, config.reward_scale * steps.reward[1:, None], value[:-1])
    continues = jnp.where(followed, steps.continues[1:, None], 0.0) * jnp.ones_like(reward)
    return lambda_returns(reward, continues, value, gamma=config.gamma, lambda_=config.lambda_)


def learning_batch(
    network: Network, target: Network | None, segments: Segment, config: LearningConfig, epsilon: Float[Array, ""]
) -> Batch:
    """Returns and advantages of segments `[envs, ...]`; `target` gives the values to bootstrap from."""

    def one(segment: Segment) -> Batch:
        logits, value = replay(network, segment)
        logs = jax.vmap(behaviour, (0, 0, None))(logits[:-1], segment.steps.avail[:-1], epsilon)
        bootstrap = value if target is None else replay(target, segment)[1]
        returns = segment_returns(bootstrap, segment, config)
        weight = (segment.followed[:, None] & segment.steps.alive[:-1]).astype(value.dtype)
        return Batch(segment, log_prob(logs, actions(segment)), returns, returns - value[:-1], weight)

    batch = jax.vmap(one)(segments)
    return batch._replace(advantage=normalised(batch.advantage, batch.weight)) if config.normalise else batch


def loss(
    network: Network, batch: Batch, config: LearningConfig, epsilon: Float[Array, ""]
) -> tuple[Float[Array, ""], Metrics]:
    """PPO's clipped loss and half the squared error of the values, of the agents that live."""
    logits, value = jax.vmap(partial(replay, network))(batch.segment)
    avail = batch.segment.steps.avail[:, :-1]
    logs = jax.vmap(jax.vmap(behaviour, (0, 0, None)), (0, 0, None))(logits[:, :-1], avail, epsilon)
    policy, metrics = policy_loss(
        logs,
        jax.vmap(actions)(batch.segment),
        log_prob_then=batch.log_prob,
        advantage=batch.advantage,
        clip=config.clip,
        entropy_coefficient=config.entropy,
        weight=batch.weight,
    )
    critic = 0.5 * weighted_mean(jnp.square(value[:, :-1] - batch.returns), batch.weight)
    return policy + config.value_coefficient * critic, metrics | {"critic/loss": critic}
