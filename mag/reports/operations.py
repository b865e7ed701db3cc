"""Dense floating-point operations of MAG's parts, from the sizes of their weight matrices.

Every weight matrix counts as multiplied in full, even where look-ups or shared work avoid the product, and a gradient
as three times the forward pass.
"""

from typing import Any

import jax

from mag.algorithms.mag.algorithm import MAG, MAGState
from mag.algorithms.mag.footprint import num_starts
from mag.algorithms.mag.local_models import LocalModels
from mag.algorithms.mag.policy import Actor
from mag.learning.parallel import first_seed
from mag.planners.config import NoPlanner, ShootingConfig


def dense(module: Any) -> int:
    """Operations of one row through every weight matrix of a module (or several)."""
    return sum(2 * leaf.size for leaf in jax.tree.leaves(module) if leaf.ndim == 2)


def of_prediction(models: LocalModels) -> int:
    """Operations of one agent's prediction; with joint events, the draw of the team's event included."""
    parts = dense((models.recurrent_input, models.attention, models.recurrence, models.prior))
    return parts if models.events is None else parts + dense((models.events, models.continuation))


def of_observation(models: LocalModels) -> int:
    """Operations of one agent's posterior state given an observation."""
    memory = (models.recurrent_input, models.attention, models.recurrence)
    return dense((memory, models.encoder, models.posterior_input, models.posterior_output))


def of_action(models: LocalModels, actor: Actor) -> int:
    """Operations of one agent's action inside the models, with the mask of available actions."""
    return dense((actor, models.available_head))


def of_planned_step(models: LocalModels, model_reward: Any, actor: Actor, planner: NoPlanner | ShootingConfig) -> int:
    """Operations of one agent's step of a rollout: lines 9 to 13, with the reward and the end."""
    step = of_action(models, actor) + dense((models.reward, models.continuation))
    if isinstance(planner, NoPlanner):
        return step + of_prediction(models)
    trajectories, horizon = planner.num_trajectories, planner.horizon
    step += trajectories * horizon * (of_prediction(models) + dense(model_reward))
    return step + trajectories * (horizon - 1) * of_action(models, actor)


def of_iteration(algorithm: MAG, state: MAGState) -> int | None:
    """Operations of one seed's iteration of Algorithm 1 without the environment; None for other planners or models."""
    config, agents = algorithm.config, algorithm.spec.n_agents
    model_reward = None if state.model_reward is None else state.model_reward.params
    networks = state.models.params, model_reward, state.policy.actor.params, state.policy.critic.params
    models, model_reward, actor, critic = jax.eval_shape(first_seed, networks)
    if not (isinstance(config.planner, NoPlanner | ShootingConfig) and isinstance(models, LocalModels)):
        return None
    replay, rollout, ppo = config.replay, config.rollout, config.ppo
    steps, starts = replay.batch_size * replay.sequence_length, num_starts(config)

    played = config.collect.num_envs * config.collect.steps * (of_observation(models) + dense(actor))  # line 3
    fits = config.models.batches * steps * 3 * dense(models)  # line 4
    if model_reward is not None:  # line 5
        fits += config.model_reward.batches * steps * (dense(models) + 3 * dense(model_reward))
    windows = rollout.windows * (rollout.burn_in + rollout.starts_per_window) if rollout.windows else steps
    observed = windows + rollout.replayed * rollout.replayed_length  # line 7
    imagined = starts * rollout.length  # lines 8 to 15
    learned = imagined + rollout.replayed * rollout.length  # lines 16 to 18
    one_rollout = observed * of_observation(models)
    one_rollout += imagined * of_planned_step(models, model_reward, actor, config.planner)
    one_rollout += learned * (dense(critic) + ppo.epochs * 3 * dense((actor, critic)))
    return agents * (played + fits + rollout.num_rollouts * one_rollout)
