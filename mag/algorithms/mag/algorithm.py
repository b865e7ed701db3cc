"""Algorithm 1 (Sec. 3.3): `MAG.iteration` has its lines in order, each a call into the module named after it."""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from mag.algorithms.mag.config import MAGConfig
from mag.algorithms.mag.imagination import Imagination, imagine
from mag.algorithms.mag.local_models import LocalModels, fit_models, initial_state
from mag.algorithms.mag.model_reward import ModelReward, fit_model_reward
from mag.algorithms.mag.policy import Actor
from mag.algorithms.mag.policy_update import PolicyState, fit_policy, init_policy
from mag.algorithms.mag.replay import ReplayState, empty_step, make_replay, size
from mag.algorithms.mag.rollout import Predict, planned, rollouts, start_states, starts_at_once
from mag.envs import Env
from mag.learning.distributions import mask_logits, sample_categorical
from mag.learning.optimise import Fitted, optimiser_of, untrained
from mag.learning.parallel import over_seeds, own_key
from mag.play import collect
from mag.play.collect import Collector
from mag.runs import footprint as memory
from mag.types import Episodes, Metrics, ModelState, Rollout, Step, TimeStep


class AgentState(NamedTuple):
    """What an agent of MAG carries from step to step."""

    models: ModelState
    previous_action: Int[Array, " agents"]


class JointPolicy(NamedTuple):
    """What acting takes: communication happens in the models."""

    models: LocalModels
    actor: Actor
    greedy_actor: Actor
    """The actor's running mean, where there is one: it plays tests."""


class MAGState(NamedTuple):
    """Everything a run of MAG is made of."""

    key: PRNGKeyArray
    models: Fitted
    model_reward: Fitted | None
    """R_m hat; MAMBA has none."""
    policy: PolicyState
    replay: ReplayState
    collectors: Collector


class MAG:
    """MAG; and MAMBA, which is MAG without planning (`config.algo`)."""

    def __init__(self, config: MAGConfig, env: Env):
        self.config, self.env = config, env
        self.plans = config.algo == "mag"
        share = dataclasses.replace(config.replay, batch_size=config.replay.batch_size // config.workers)
        self.replay = make_replay(share, config.collect.num_envs)
        per_seed = partial(over_seeds, num_seeds=config.num_seeds, workers=config.workers)
        self._split = per_seed(lambda key: tuple(jax.random.split(key, 5)))
        self._collect = per_seed(self.collect, donate=(2, 3))
        self._fit_models = per_seed(self.fit_models, donate=(1,))
        self._fit_model_reward = per_seed(self.fit_model_reward, donate=(1,))
        self._rollouts = per_seed(self.rollouts, divides=True)
        self._fit_policy = per_seed(self.fit_policy, donate=(1,), divided=(2,))

    def memory(self) -> dict[str, int]:
        """See `Algorithm.memory`."""
        return memory.estimate(self.config, self.env.spec)

    def init(self, key: PRNGKeyArray) -> MAGState:
        """Line 1. The key is consumed."""
        config, spec = self.config, self.env.spec
        keys = jax.random.split(key, 5)
        model_reward = None
        if self.plans:
            net = ModelReward(keys[1], config.networks, config.model_reward.layers)
            model_reward = untrained(net, optimiser_of(config.model_reward))
        return MAGState(
            key=keys[2],
            models=untrained(
                LocalModels(keys[0], spec, config.networks),
                optimiser_of(config.models),
                config.models.averaging,
            ),
            model_reward=model_reward,
            policy=init_policy(keys[3], spec.n_actions, config.networks, config.ppo),
            replay=self.replay.init(empty_step(spec)),
            collectors=jax.vmap(lambda key: collect.start(key, self.env, self.initial_state()))(
                jax.random.split(keys[4], config.collect.num_envs)
            ),
        )

    def iteration(self, state: MAGState) -> tuple[MAGState, Metrics, Episodes, Int[Array, " seeds"]]:
        """Algorithm 1: one turn of its outer loop (line 2)."""
        models, model_reward, policy = state.models, state.model_reward, state.policy
        key, key_collect, key_models, key_reward, key_rollouts = self._split(state.key)
        collectors, data, episodes, transitions = self._collect(  # line 3
            key_collect, self.policy(state), state.collectors, state.replay
        )
        state = state._replace(key=key, collectors=collectors, replay=data)
        if not self.can_learn(data):
            return state, {}, episodes, transitions
        models, metrics = self._fit_models(key_models, models, data)  # line 4
        if self.plans:
            model_reward, more = self._fit_model_reward(key_reward, model_reward, models.settled, data)  # line 5
            metrics |= more
        for _ in range(self.config.rollout.rollouts):  # line 6
            key_rollouts, key_rollout, key_policy, *_ = self._split(key_rollouts)
            model_data = self._rollouts(  # lines 7-15
                key_rollout, models.settled, model_reward and model_reward.params, policy.actor.params, data
            )
            policy, more = self._fit_policy(key_policy, policy, model_data)  # lines 16-18
        state = state._replace(models=models, model_reward=model_reward, policy=policy)
        return state, metrics | more, episodes, transitions

    # The lines, each of one seed.

    def collect(
        self, key: PRNGKeyArray, policy: JointPolicy, collectors: Collector, data: ReplayState
    ) -> tuple[Collector, ReplayState, Episodes, Int[Array, ""]]:
        """Line 3: play, and add what was seen to D_e. The key is consumed."""

        def act(key: PRNGKeyArray, memory: AgentState, timestep: TimeStep) -> tuple[Array, AgentState]:
            return self.act(key, policy, memory, timestep, greedy=False)

        collectors, played = collect.collect(key, collectors, env=self.env, act=act, steps=self.config.collect.steps)
        data = self.replay.add(data, played.steps._replace(state=None))
        return collectors, data, played.episodes, played.transitions.sum()

    def fit_models(self, key: PRNGKeyArray, models: Fitted, data: ReplayState) -> tuple[Fitted, Metrics]:
        """Line 4: train the local models by one-step prediction. The key is consumed."""
        return fit_models(key, models, partial(self.sequences, data), self.config.models)

    def fit_model_reward(
        self, key: PRNGKeyArray, model_reward: Fitted, models: LocalModels, data: ReplayState
    ) -> tuple[Fitted, Metrics]:
        """Line 5: train the predictor of the models' error. The key is consumed."""
        config = self.config
        sample = partial(self.sequences, data)
        return fit_model_reward(key, model_reward, models, sample, config.model_reward, models_config=config.models)

    def rollouts(
        self,
        key: PRNGKeyArray,
        models: LocalModels,
        model_reward: ModelReward | None,
        actor: Actor,
        data: ReplayState,
    ) -> Rollout:
        """Lines 7-15: play inside the local models from states of D_e. The key is consumed."""
        key_sample, key_start, key_rollout = jax.random.split(own_key(key), 3)
        config, planning = self.config.rollout, self.config.planning
        predict = self.predictor(models, model_reward, actor)
        starts = start_states(key_start, models, self.sequences(data, key_sample))
        rows = self.env.spec.n_agents * (planning.num_trajectories if self.plans else 1)
        at_once = starts_at_once(config, len(starts.deter), rows)
        return rollouts(
            key_rollout, starts, models=models, actor=actor, predict=predict, length=config.length, at_once=at_once
        )

    def predictor(self, models: LocalModels, model_reward: ModelReward | None, actor: Actor) -> Predict:
        """Lines 10-12: how the models predict, planned in MAG and as they are in MAMBA."""
        if model_reward is None:
            return models.predict
        planning = self.config.planning
        return planned(
            models, model_reward, actor, num_trajectories=planning.num_trajectories, horizon=planning.horizon
        )

    def fit_policy(self, key: PRNGKeyArray, policy: PolicyState, model_data: Rollout) -> tuple[PolicyState, Metrics]:
        """Lines 16-18: train the joint policy on the rollouts. The key is consumed."""
        return fit_policy(key, policy, model_data, self.config.ppo)

    def sequences(self, data: ReplayState, key: PRNGKeyArray) -> Step:
        """A worker's part of a batch of sequences of D_e, `[batch, time, ...]`, of one seed. The key is consumed."""
        return self.replay.sample(data, key).experience

    def can_learn(self, data: ReplayState) -> bool:
        """Whether D_e, of all seeds, holds enough to learn from."""
        items = int(size(data)[0]) * self.config.collect.num_envs
        return items >= self.config.replay.learning_starts and bool(self.replay.can_sample(data)[0])

    # The agent.

    def initial_state(self) -> AgentState:
        """The memory of one joint agent before its first time step."""
        spec = self.env.spec
        return AgentState(initial_state(spec, self.config.networks), jnp.full(spec.n_agents, -1, jnp.int32))

    def policy(self, state: MAGState) -> JointPolicy:
        """What acting takes."""
        actor = state.policy.actor
        return JointPolicy(state.models.settled, actor.params, actor.settled)

    def act(
        self,
        key: PRNGKeyArray,
        policy: JointPolicy,
        agent_state: AgentState,
        timestep: TimeStep,
        *,
        greedy: bool,
    ) -> tuple[Int[Array, " agents"], AgentState]:
        """Update the models' state with what is seen, then act on its posterior. The key is consumed."""
        key_observe, key_action = jax.random.split(key)
        previous = jnp.where(timestep.first, -1, agent_state.previous_action)
        state = policy.models.observe(key_observe, agent_state.models, previous, timestep.first, timestep.obs)
        actor = policy.greedy_actor if greedy else policy.actor
        logits = mask_logits(actor(state), timestep.avail)
        action = jnp.argmax(logits, -1) if greedy else sample_categorical(key_action, logits)
        action = action.astype(jnp.int32)
        return action, AgentState(state, action)

    def imagine(self, key: PRNGKeyArray, state: MAGState, episode: Step, *, observed: int) -> Imagination:
        """See `Imagines`; predicted as in rollouts. The key is consumed."""
        models, model_reward = state.models.settled, state.model_reward and state.model_reward.params
        return imagine(
            key,
            episode,
            models=models,
            predict=self.predictor(models, model_reward, state.policy.actor.params),
            observed=observed,
            reward_scale=self.config.models.reward_scale,
        )
