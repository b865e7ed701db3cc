"""Model rollouts (Algorithm 1, lines 6-15): the joint policy plays inside the local models."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Int, PRNGKeyArray

from mag.algorithms.mag.config import RolloutConfig
from mag.algorithms.mag.local_models import LocalModels, observe_sequence
from mag.algorithms.mag.model_reward import ModelReward
from mag.algorithms.mag.policy import Actor, imagine_action
from mag.learning.distributions import log_prob
from mag.planners.shooting import plan
from mag.types import ModelState, Rollout, Step

Predict = Callable[[PRNGKeyArray, ModelState, Int[Array, " agents"]], ModelState]


def planned(
    models: LocalModels, model_reward: ModelReward, actor: Actor, *, num_trajectories: int, horizon: int
) -> Predict:
    """Lines 10-12 as a `predict`: the local models' prediction, planned against the current joint policy."""

    def act(key: PRNGKeyArray, state: ModelState) -> Int[Array, " agents"]:
        return imagine_action(key, actor, models, state)[0]

    def predict(key: PRNGKeyArray, state: ModelState, action: Int[Array, " agents"]) -> ModelState:
        chosen = plan(
            key,
            state,
            action,
            predict=models.predict,
            act=act,
            score=model_reward.score,
            num_trajectories=num_trajectories,
            horizon=horizon,
        )
        return chosen.state

    return predict


def rollout(
    key: PRNGKeyArray, start: ModelState, *, models: LocalModels, actor: Actor, predict: Predict, length: int
) -> Rollout:
    """k steps from one joint start state; batched by `vmap`. The key is consumed.

    `predict` is `planned(...)` in MAG and `models.predict` in MAMBA.
    """

    def step(state: ModelState, key: PRNGKeyArray) -> tuple[ModelState, Rollout]:
        key_act, key_predict = jax.random.split(key)
        action, avail, logits = imagine_action(key_act, actor, models, state)  # line 9
        next_state = predict(key_predict, state, action)  # lines 10-12
        reward, continuation = models.transition(state.stoch, next_state.deter)
        item = Rollout(
            state=state,
            action=action,
            avail=avail,
            log_prob=log_prob(logits, action),
            reward=reward.mean(),
            continues=jax.nn.sigmoid(continuation),
            last=next_state,
        )
        return next_state, item  # line 13

    last, items = jax.lax.scan(step, start, jax.random.split(key, length))
    return items._replace(last=last)


CACHED_ROWS = 600
"""Agent-states whose activations stay inside a CPU's cache: more run slower, not faster."""


def starts_at_once(config: RolloutConfig, starts: int, rows_per_start: int) -> int:
    """How many start states to roll out side by side, where each takes `rows_per_start` agent-states (L x N)."""
    if config.at_once:
        return config.at_once
    return max(1, CACHED_ROWS // rows_per_start) if jax.default_backend() == "cpu" else starts


def start_states(key: PRNGKeyArray, models: LocalModels, sequences: Step) -> ModelState:
    """Line 7: every posterior of a batch of sequences `[batch, time, ...]` but each sequence's first and last.

    The first has seen a single observation; without the last there are the reference's 18 of 20. Returns
    `[starts, ...]`. The key is consumed.
    """
    keys = jax.random.split(key, sequences.first.shape[0])
    _, states = jax.vmap(lambda key, sequence: observe_sequence(models, key, sequence, training=False))(keys, sequences)
    return jax.tree.map(lambda x: x[:, 1:-1].reshape(-1, *x.shape[2:]), states)


def rollouts(
    key: PRNGKeyArray,
    starts: ModelState,
    *,
    models: LocalModels,
    actor: Actor,
    predict: Predict,
    length: int,
    at_once: int,
) -> Rollout:
    """Lines 8-14 from all start states, `at_once` of them side by side: `[starts, k, ...]`. The key is consumed."""
    keys = jax.random.split(key, starts.deter.shape[0])

    def one(inputs: tuple[PRNGKeyArray, ModelState]) -> Rollout:
        key, start = inputs
        return rollout(key, start, models=models, actor=actor, predict=predict, length=length)

    return jax.lax.map(one, (keys, starts), batch_size=min(at_once, len(keys)))
