"""Agents with rewards of their own: the rewards learned for each agent, and the equilibrium found."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag import envs
from mag.algorithms.config import EvaluationConfig
from mag.algorithms.mag.local_models import one_step_predictions
from mag.algorithms.mag.model_reward import ErrorReward
from mag.algorithms.mag.replayed import replayed
from mag.algorithms.registry import default_config, make
from mag.errors import UsageError
from mag.options import override
from mag.reports.evaluate import evaluate_run, format_result
from mag.runs.train import train
from tests.support import by_agent
from tests.support.small import SPEC, filled, random_batch, random_state, small_models

FIRSTS = [[1, 0, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0]]
MODELS = small_models()
BATCH = random_batch(0, FIRSTS)
OWN = BATCH._replace(reward=jnp.repeat(BATCH.reward[..., None], SPEC.n_agents, -1))


def errors(batch):
    """The reward's error of each agent, `[batch, time, agents]`."""
    keys = jax.random.split(jax.random.key(0), len(batch.first))
    predict = jax.vmap(lambda key, sequence: one_step_predictions(MODELS, key, sequence, training=False).errors)
    return np.asarray(predict(keys, batch).reward)


def test_a_team_learns_what_agents_with_equal_rewards_learn():
    np.testing.assert_array_equal(errors(OWN), errors(BATCH))


def test_each_model_learns_its_own_agents_reward():
    changed = errors(OWN._replace(reward=OWN.reward.at[..., 1].add(1.0))) != errors(OWN)
    assert changed[..., 1].all() and not changed[..., [0, 2]].any()


def test_real_rewards_are_each_agents_own():
    own = OWN._replace(reward=OWN.reward * jnp.array([1.0, -1.0, 0.5]))
    keys = jax.random.key(0)
    real = replayed(keys, MODELS, own, burn_in=1, reward_scale=2.0)
    np.testing.assert_allclose(real.reward, 2 * BATCH.reward[:, 2:, None] * jnp.array([1.0, -1.0, 0.5]))
    team = replayed(keys, MODELS, BATCH, burn_in=1, reward_scale=2.0)
    np.testing.assert_array_equal(team.reward, 2 * BATCH.reward[:, 2:, None])


def test_the_teams_model_reward_is_the_sum_of_the_agents():
    net = filled(lambda key: ErrorReward(key, MODELS, hidden=16, layers=1))
    state = random_state(1)
    assert net.score_of_agents(state).shape == (SPEC.n_agents,)
    np.testing.assert_allclose(net.score(state), net.score_of_agents(state).sum(), rtol=1e-6)
    np.testing.assert_array_equal(net.score_of_agents(state), -net.error(state))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"networks": {"joint_events": True}},
            "by a score of each agent, and networks.joint_events is True",
        ),
        (
            {"model_reward": {"kind": "ratio"}},
            "by a score of each agent, and model_reward.kind is ratio",
        ),
    ],
)
def test_agents_that_cannot_choose_for_themselves_are_told_why(changes, message):
    config = default_config("mag", "probe/rivals", "debug", "paper")
    config = dataclasses.replace(config, planner=dataclasses.replace(config.planner, choice="own"))
    config.check()
    groups = {name: dataclasses.replace(getattr(config, name), **values) for name, values in changes.items()}
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(config, **groups).check()


def test_a_planner_of_ones_own_is_given_a_score_of_each_agent():
    spec = envs.spec("probe/rivals")
    config = default_config("mag", "probe/rivals", "debug", "paper", planner="tests.support.by_agent")
    algorithm = make(config, spec)
    state = jax.eval_shape(algorithm.init.of_one_seed, jax.random.key(0))
    score = state.model_reward.params
    by_agent.SHAPES.clear()
    jax.eval_shape(
        algorithm.rollouts.of_one_seed, state.key, state.models.weights, score, state.policy.actor.params, state.data
    )
    assert set(by_agent.SHAPES) == {(2, spec.n_agents)}


EXPLORE = {"ppo.entropy": 0.1, "ppo.entropy_decay": 1.0}
"""The second agent has to try again what was worse at first."""
OWN_PLANS = {
    **EXPLORE,
    "ppo.entropy": 0.3,
    "planner.choice": "own",
    "networks.joint_events": False,
    "networks.components": 1,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algo", "options", "steps"), [("attention-ppo", {}, 1000), ("mag", EXPLORE, 4000), ("mag", OWN_PLANS, 8000)]
)
def test_rivals_find_their_equilibrium(tmp_path, algo, options, steps):
    config = override(default_config(algo, "probe/rivals", "debug", "tuned"), options)
    config = dataclasses.replace(config, steps=steps, evaluation=EvaluationConfig(every=10**6, episodes=4))
    train(config, tmp_path / "run")
    result = evaluate_run(tmp_path / "run", 100, sampled=True)
    # Uniform play is worth 1/8 and -1/8; on the way to the equilibrium the second agent loses 1.
    np.testing.assert_allclose(result["eval_return_of_agents"], [[0.5, -0.5]], atol=0.15)
    assert result["eval_return"] == [0.0]
    assert "return 0.000 (of the agents: 0." in format_result(result)
