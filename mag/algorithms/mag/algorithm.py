"""Algorithm 1 (Sec. 3.3): `MAG.iteration` runs its lines, each in a method of its own."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Key, PRNGKeyArray

from mag.algorithms.contract import Imagination, Play, ScoredRollout
from mag.algorithms.mag import footprint
from mag.algorithms.mag.config import MAGConfig, ReplayConfig
from mag.algorithms.mag.imagination import imagine, scored_rollout
from mag.algorithms.mag.local_models import LocalModels
from mag.algorithms.mag.model_reward import ErrorReward, ModelReward
from mag.algorithms.mag.planning import planned
from mag.algorithms.mag.policy import Actor, ModelAgent
from mag.algorithms.mag.policy_update import PolicyState, fit_policy, init_policy
from mag.algorithms.mag.ratio import RatioReward
from mag.algorithms.mag.replay import ReplayState, items_stored, make_replay
from mag.algorithms.mag.replayed import newest_sequences, replayed, side_by_side
from mag.algorithms.mag.rollout import INNER, Rollout, num_states, resolve_chunk_size, rollout, rollouts, start_states
from mag.algorithms.mag.world_model import Predict, WorldModel
from mag.envs import EnvSpec
from mag.learning.optimise import Trainable, fit, make_optimiser
from mag.learning.parallel import Workers, first_seed, per_seed
from mag.play.episode import empty_arrival
from mag.types import Arrival, Metrics

MakeModels = Callable[[PRNGKeyArray, EnvSpec, MAGConfig], WorldModel]
"""Makes an untrained world model. The key is consumed."""

Loss = tuple[Array, Metrics]
"""A loss, and metrics."""


def make_local_models(key: PRNGKeyArray, spec: EnvSpec, config: MAGConfig) -> WorldModel:
    """The world model of the paper. The key is consumed."""
    return LocalModels(key, spec, config.networks, config.models)


class MAGState(NamedTuple):
    """Everything that a run of MAG learns, and the data it learns from."""

    key: PRNGKeyArray
    models: Trainable
    model_reward: Trainable | None
    """R_m hat; None without a planner."""
    policy: PolicyState
    data: ReplayState
    """D_e."""


class MAG:
    """MAG, with any world model and any planner; without a planner it is MAMBA."""

    def __init__(self, config: MAGConfig, spec: EnvSpec, make_models: MakeModels = make_local_models):
        self.config, self.spec, self.make_models = config, spec, make_models
        self.num_seeds, self.workers = config.num_seeds, Workers(config.workers)
        share = dataclasses.replace(config.replay, batch_size=config.replay.batch_size // config.workers)
        self.replay = make_replay(share, config.collect.num_envs)
        self.start_replay = make_replay(start_replay_config(config, share), config.collect.num_envs)
        self.models_optimiser, self.model_reward_optimiser = (
            make_optimiser(each.optimiser, each.learning_rate, each.learning_rate_decay, each.max_grad_norm)
            for each in (config.models, config.model_reward)
        )

    def footprint(self) -> dict[str, int]:
        """See `Algorithm.footprint`."""
        key = jax.eval_shape(lambda: jax.random.key(0))
        state = jax.eval_shape(self.init.of_one_seed, key)
        sequences = jax.eval_shape(self.sequences, key, state.data)
        chunk_size = self.chunk_size(footprint.num_starts(self.config))
        return footprint.estimate(self.config, self.spec, state, sequences, chunk_size)

    @per_seed(runs_once=True)
    def init(self, key: PRNGKeyArray) -> MAGState:
        """Line 1: untrained networks and an empty D_e. The key is consumed."""
        config, networks = self.config, self.config.networks
        keys = jax.random.split(key, 4)
        models = self.make_models(keys[0], self.spec, config)
        plans = config.planner.kind != "none"
        model_reward = self.init_model_reward.of_one_seed(keys[1], models) if plans else None
        return MAGState(
            key=keys[2],
            models=Trainable.create(models, self.models_optimiser, config.models.ema_decay),
            model_reward=model_reward,
            policy=init_policy(keys[3], models, self.spec.n_actions, networks, config.ppo),
            data=self.replay.init(empty_arrival(self.spec)),
        )

    def iteration(self, state: MAGState, play: Play) -> tuple[MAGState, Metrics]:
        """Algorithm 1: one turn of its outer loop (line 2)."""
        models, model_reward, policy = state.models, state.model_reward, state.policy
        key, key_play, key_models, key_reward, key_rollouts = self.split(state.key)
        played = play(key_play, self.agent(state))  # line 3
        data = self.add(state.data, played.arrivals)
        state = state._replace(key=key, data=data)
        if not self.can_learn(state):
            return state, {}
        models, metrics = self.fit_models(key_models, models, data)  # line 4
        if model_reward is not None:  # line 5
            model_reward, reward_metrics = self.fit_model_reward(key_reward, model_reward, models.weights, data)
            metrics |= reward_metrics
        score = params_of(model_reward)
        for _ in range(self.config.rollout.num_rollouts):  # line 6
            key_rollouts, key_rollout, key_policy, *_ = self.split(key_rollouts)
            model_data = self.rollouts(key_rollout, models.weights, score, policy.actor.params, data)  # lines 7-15
            policy, policy_metrics = self.fit_policy(key_policy, policy, model_data)  # lines 16-18, after each rollout
        metrics |= policy_metrics  # of the last update
        return state._replace(models=models, model_reward=model_reward, policy=policy), metrics

    def compile_ahead(self, threads: Executor, keys: Key[Array, " seeds"]) -> None:
        """See `CompilesAhead`: lines 4 to 18, if the run is long enough to reach them."""
        if self.config.steps <= self.config.replay.learning_starts:
            return
        state = self.init.shapes(keys)
        key, models, policy, data = state.key, state.models, state.policy, state.data
        starts = (key, models.weights, params_of(state.model_reward), policy.actor.params, data)
        self.rollouts.compile_ahead(threads, lambda: starts)
        self.fit_models.compile_ahead(threads, lambda: (key, models, data))
        if state.model_reward is not None:
            model_reward = (key, state.model_reward, models.weights, data)
            self.fit_model_reward.compile_ahead(threads, lambda: model_reward)
        self.fit_policy.compile_ahead(threads, lambda: (key, policy, self.rollouts.shapes(*starts)))

    @per_seed()
    def split(self, key: PRNGKeyArray) -> tuple[PRNGKeyArray, ...]:
        """Five keys. The key is consumed."""
        return tuple(jax.random.split(key, 5))

    @per_seed(donate=("data",))
    def add(self, data: ReplayState, arrivals: Arrival) -> ReplayState:
        """Line 3: add the played steps to D_e, without the global state, which no model reads."""
        return self.replay.add(data, arrivals._replace(state=None))

    @per_seed(donate=("models",))
    def fit_models(self, key: PRNGKeyArray, models: Trainable, data: ReplayState) -> tuple[Trainable, Metrics]:
        """Line 4: train the world model by one-step prediction. The key is consumed."""
        config = self.config.models
        return fit(
            key,
            models,
            self.on_sequences(data, lambda models, key, sequences: models.loss(key, sequences)),
            self.models_optimiser,
            batches=config.batches,
            ema_decay=config.ema_decay,
            workers=self.workers,
        )

    @per_seed(donate=("model_reward",))
    def fit_model_reward(
        self, key: PRNGKeyArray, model_reward: Trainable, models: WorldModel, data: ReplayState
    ) -> tuple[Trainable, Metrics]:
        """Line 5: train R_m hat on D_e. The key is consumed."""
        loss = self.on_sequences(data, lambda model_reward, key, sequences: model_reward.loss(key, models, sequences))
        batches = self.config.model_reward.batches
        return fit(key, model_reward, loss, self.model_reward_optimiser, batches=batches, workers=self.workers)

    @per_seed(divides=True)
    def rollouts(
        self,
        key: PRNGKeyArray,
        models: WorldModel,
        model_reward: ModelReward | None,
        actor: Actor,
        data: ReplayState,
    ) -> Rollout:
        """Lines 7-15: play inside the world model from states of D_e. The key is consumed."""
        key_sample, key_start, key_rollout, key_real = jax.random.split(self.workers.own_key(key), 4)
        windows = self.start_replay.sample(data, key_sample).experience
        positions = slice(self.config.rollout.burn_in, None) if self.config.rollout.windows else INNER
        starts = start_states(key_start, models, windows, positions)
        one = partial(
            rollout,
            models=models,
            actor=actor,
            predict=self.rollout_predict(models, model_reward, actor),
            length=self.config.rollout.length,
            team_reward=self.spec.team_reward,
        )
        imagined = rollouts(key_rollout, starts, one, chunk_size=self.chunk_size(num_states(starts)))
        if not self.config.rollout.replayed:
            return imagined
        return side_by_side(imagined, self.replayed(key_real, models, data))

    def replayed(self, key: PRNGKeyArray, models: WorldModel, data: ReplayState) -> Rollout:
        """A worker's part of the real sequences from which the critic learns. The key is consumed."""
        rollout, num_envs = self.config.rollout, self.config.collect.num_envs
        key_sample, key_observe = jax.random.split(key)
        sequences = newest_sequences(
            key_sample,
            data,
            count=rollout.replayed // self.config.workers,
            length=rollout.replayed_length,
            newest=rollout.newest // num_envs,
        )
        scale = self.config.models.reward_scale
        return replayed(key_observe, models, sequences, burn_in=rollout.burn_in, reward_scale=scale)

    def rollout_predict(self, models: WorldModel, model_reward: ModelReward | None, actor: Actor) -> Predict:
        """Lines 10-12: the prediction used in rollouts, planned in MAG, the world model's own in MAMBA."""
        if model_reward is None or self.config.planner.kind == "none":
            return models.predict
        return planned(self.config.planner, models, model_reward, actor)

    @per_seed(donate=("policy",), divided=("model_data",))
    def fit_policy(self, key: PRNGKeyArray, policy: PolicyState, model_data: Rollout) -> tuple[PolicyState, Metrics]:
        """Lines 16-18: train the joint policy on the rollouts. The key is consumed."""
        return fit_policy(key, policy, model_data, self.config.ppo, self.workers)

    def agent(self, state: MAGState) -> ModelAgent:
        """See `Algorithm.agent`."""
        actor = state.policy.actor
        return ModelAgent(state.models.weights, actor.params, actor.weights, self.spec, self.config.exploration)

    def on_sequences(
        self, data: ReplayState, loss: Callable[[Any, PRNGKeyArray, Arrival], Loss]
    ) -> Callable[[Any, PRNGKeyArray], Loss]:
        """A loss of parameters and key, in which `loss` gets sequences drawn from D_e."""

        def drawn(params: Any, key: PRNGKeyArray) -> Loss:
            key_sample, key_loss = jax.random.split(key)
            return loss(params, key_loss, self.sequences(key_sample, data))

        return drawn

    def sequences(self, key: PRNGKeyArray, data: ReplayState) -> Arrival:
        """One seed's and one worker's part of a batch of sequences from D_e, `[batch, time, ...]`.

        The key is consumed.
        """
        return self.replay.sample(data, key).experience

    def chunk_size(self, starts: int) -> int:
        """Number of start states rolled out at once, out of `starts`."""
        at_once = self.spec.n_agents * self.config.planner.predictions_at_once
        return resolve_chunk_size(self.config.rollout.chunk_size, starts, at_once)

    # The contracts `ModelBased` and `RollsOut`, for watching and diagnosing.

    def can_learn(self, state: MAGState) -> bool:
        """See `ModelBased.can_learn`."""
        steps = int(items_stored(state.data)[0])
        items = steps * self.config.collect.num_envs
        return items >= self.config.replay.learning_starts and steps >= max(self.config.lengths_drawn().values())

    def draw_sequences(self, key: PRNGKeyArray, state: MAGState) -> Arrival:
        """See `ModelBased.draw_sequences`."""
        return self.sequences(key, state.data)

    def imagine(self, key: PRNGKeyArray, state: MAGState, episode: Arrival, *, observed: int) -> Imagination:
        """See `ModelBased.imagine`; predicted as in rollouts. The key is consumed."""
        models: WorldModel = state.models.weights
        return imagine(
            key,
            episode,
            models=models,
            predict=self.rollout_predict(models, params_of(state.model_reward), state.policy.actor.params),
            observed=observed,
            reward_scale=self.config.models.reward_scale,
        )

    @property
    def discount(self) -> float:
        """See `RollsOut.discount`."""
        return self.config.ppo.gamma

    def model_reward(self, key: PRNGKeyArray, state: MAGState, *, afresh: bool = False) -> ModelReward:
        """See `RollsOut.model_reward`. The key is consumed."""
        fitted = None if afresh else state.model_reward
        if fitted is None:
            keys = jax.random.split(key, (2, self.num_seeds))
            fitted = self.init_model_reward(keys[0], state.models.weights)
            for each in jax.vmap(lambda key: jax.random.split(key, FITS_TO_MEASURE), out_axes=1)(keys[1]):
                fitted, _ = self.fit_model_reward(each, fitted, state.models.weights, state.data)
        return first_seed(fitted.params)

    @per_seed()
    def init_model_reward(self, key: PRNGKeyArray, models: WorldModel) -> Trainable:
        """An untrained R_m hat on the states of a world model. The key is consumed."""
        return Trainable.create(make_model_reward(key, models, self.config), self.model_reward_optimiser)

    def scored_rollout(
        self,
        key: PRNGKeyArray,
        state: MAGState,
        model_reward: ModelReward,
        past: Arrival,
        *,
        length: int,
    ) -> ScoredRollout:
        """See `RollsOut.scored_rollout`. The key is consumed."""
        models: WorldModel = state.models.weights
        actor = state.policy.actor.params
        planned_with = model_reward if state.model_reward is None else state.model_reward.params
        return scored_rollout(
            key,
            past,
            models=models,
            actor=actor,
            critic=state.policy.critic.params,
            model_reward=model_reward,
            predict=self.rollout_predict(models, planned_with, actor),
            length=length,
            reward_scale=self.config.models.reward_scale,
        )


def params_of(part: Trainable | None) -> Any:
    """The parameters of a trained part; None where the run has no such part."""
    return None if part is None else part.params


FITS_TO_MEASURE = 100
"""Calls of line 5 that fit a model reward afresh, only to measure a world model."""


def make_model_reward(key: PRNGKeyArray, models: WorldModel, config: MAGConfig) -> ModelReward:
    """An untrained R_m hat of the kind that the configuration names. The key is consumed."""
    hidden, layers = config.networks.hidden, config.model_reward.layers
    if config.model_reward.kind == "ratio":
        return RatioReward(key, models, hidden=hidden, layers=layers, heads=config.networks.heads)
    return ErrorReward(key, models, hidden=hidden, layers=layers)


def start_replay_config(config: MAGConfig, share: ReplayConfig) -> ReplayConfig:
    """Options by which a worker draws the sequences for start states; `share` holds those of its training batches."""
    rollout = config.rollout
    if not rollout.windows:
        return share
    return dataclasses.replace(
        share, batch_size=rollout.windows // config.workers, sequence_length=rollout.window_length
    )
