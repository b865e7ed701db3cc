"""Rollouts of tiny models: alignment in time, against loops, and MAG as MAMBA with planning."""

import dataclasses
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.algorithms.mag.algorithm import MAG
from mag.algorithms.mag.local_models import ModelState
from mag.algorithms.mag.model_reward import ErrorReward
from mag.algorithms.mag.policy import Actor
from mag.algorithms.mag.rollout import CACHED_ROWS, resolve_chunk_size, rollout, rollouts, start_states
from mag.algorithms.registry import default_config
from tests.support import reference
from tests.support.small import NETWORKS, SPEC, filled, float64, random_batch, random_state, small_models
from tests.support.walk import Walk

KEY = jax.random.key(0)
LENGTH = 4
MODELS = small_models()
ACTOR = filled(lambda key: Actor(key, MODELS, SPEC.n_actions, NETWORKS))
MODEL_REWARD = filled(lambda key: ErrorReward(key, MODELS, hidden=NETWORKS.hidden, layers=2))


def play(predict):
    """A compiled rollout of one start state."""
    return jax.jit(lambda key, s: rollout(key, s, models=MODELS, actor=ACTOR, predict=predict, length=LENGTH))


@pytest.fixture(scope="module")
def played():
    return jax.tree.map(np.asarray, play(MODELS.predict)(KEY, random_state(0)))


def features(stoch, deter):
    return np.concatenate([np.eye(NETWORKS.classes)[stoch].ravel(), deter])


def test_it_starts_at_the_start(played):
    start = random_state(0)
    np.testing.assert_array_equal(played.state.stoch[0], start.stoch)
    np.testing.assert_array_equal(played.state.deter[0], start.deter)


def test_reward_and_continuation_read_the_latent_before_and_the_memory_after(played):
    deters = np.concatenate([played.state.deter, played.last.deter[None]])
    models = float64(MODELS)
    for t in range(LENGTH):
        arriving = [features(played.state.stoch[t, i], deters[t + 1, i]) for i in range(SPEC.n_agents)]
        rewards = [reference.feature_mlp(np, models.reward, x, reference.elu)[0] for x in arriving]
        goes_on = [reference.feature_mlp(np, models.continuation, x, reference.elu)[0] for x in arriving]
        np.testing.assert_allclose(played.reward[t], np.mean(rewards), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(played.continues[t], reference.sigmoid(np, np.array(goes_on)), rtol=1e-4, atol=1e-5)


def test_log_prob_is_the_masked_policys(played):
    actor = float64(ACTOR.net)
    for t in range(LENGTH):
        for i in range(SPEC.n_agents):
            x = features(played.state.stoch[t, i], played.state.deter[t, i])
            logits = reference.feature_mlp(np, actor, x, reference.relu)
            allowed = played.avail[t, i] if played.avail[t, i].any() else np.ones(4, bool)
            logits = np.where(allowed, logits, -np.inf)
            action = played.action[t, i]
            expected = logits[action] - np.log(np.exp(logits).sum())
            np.testing.assert_allclose(played.log_prob[t, i], expected, rtol=1e-4, atol=1e-5)


def test_each_state_is_predicted_from_the_one_before(played):
    recur = jax.jit(lambda state, action: MODELS.recur(state, action))
    deters = np.concatenate([played.state.deter, played.last.deter[None]])
    for t in range(LENGTH):
        state = ModelState(jnp.asarray(played.state.stoch[t]), jnp.asarray(played.state.deter[t]))
        after = recur(state, jnp.asarray(played.action[t]))
        np.testing.assert_allclose(deters[t + 1], after, rtol=1e-5, atol=1e-6)


def rollout_predict(models, kind, *, actor=ACTOR, model_reward=MODEL_REWARD, **options):
    """MAG's prediction with a kind of planner."""
    config = default_config("mag", SPEC.name, "debug", planner=kind)
    config = dataclasses.replace(config, planner=dataclasses.replace(config.planner, **options))
    return MAG(config, SPEC).rollout_predict(models, model_reward, actor)


def test_mag_with_one_trajectory_is_mamba():
    models = Walk(jnp.zeros((SPEC.n_agents, 2)), jnp.asarray(0.5))
    actor = filled(lambda key: Actor(key, models, SPEC.n_actions, NETWORKS))
    model_reward = filled(lambda key: ErrorReward(key, models, hidden=4, layers=1))
    mamba = rollout_predict(models, "none", actor=actor, model_reward=None)

    def mamba_with_its_key(key, state, action):
        return mamba(jax.random.split(key, 2)[0], state, action)  # with L = 1 the planner predicts with this one

    def run(predict):
        one = partial(rollout, models=models, actor=actor, predict=predict, length=LENGTH)
        return jax.jit(lambda key: rollouts(key, jnp.zeros((5, SPEC.n_agents, 2)), one, chunk_size=5))(KEY)

    one, two = (
        run(rollout_predict(models, "shooting", actor=actor, model_reward=model_reward, num_trajectories=n, horizon=2))
        for n in (1, 2)
    )
    plain = run(mamba_with_its_key)
    jax.tree.map(np.testing.assert_array_equal, one, plain)
    assert (np.asarray(two.state) != np.asarray(plain.state)).any()


@pytest.mark.slow
def test_planned_takes_the_prediction_of_least_error():
    start, action = random_state(0), jnp.array([0, 3, 1], jnp.int32)
    mag = rollout_predict(MODELS, "shooting", num_trajectories=6, horizon=1)
    keys = jax.random.split(KEY, 7)[:6]
    chosen = jax.jit(mag)(KEY, start, action)
    options = jax.jit(jax.vmap(lambda key: MODELS.predict(key, start, action)))(keys)
    net = float64(MODEL_REWARD.net)
    errors = [
        sum(reference.feature_mlp(np, net, features(stoch[i], deter[i]), reference.elu)[0] for i in range(3))
        for stoch, deter in zip(np.asarray(options.stoch), np.asarray(options.deter), strict=True)
    ]
    assert len(set(errors)) > 1
    np.testing.assert_array_equal(chosen.stoch, options.stoch[int(np.argmin(errors))])


@pytest.mark.slow
def test_planned_plans_with_the_current_joint_policy():
    keys, action = jax.random.split(KEY, 20), jnp.array([0, 3, 1], jnp.int32)
    other = jax.tree.map(lambda x: -5 * x, ACTOR)

    def chosen(actor, horizon):
        mag = rollout_predict(MODELS, "shooting", actor=actor, num_trajectories=3, horizon=horizon)
        return np.asarray(jax.jit(jax.vmap(lambda key: mag(key, random_state(0), action).stoch))(keys))

    assert (chosen(ACTOR, 3) != chosen(other, 3)).any()
    np.testing.assert_array_equal(chosen(ACTOR, 1), chosen(other, 1))  # one step ahead nobody acts


@pytest.mark.slow
def test_start_states_roll_out_alike_however_many_at_once():
    starts = random_state(1, 5)
    three_steps = partial(rollout, models=MODELS, actor=ACTOR, predict=MODELS.predict, length=3)

    def run(chunk_size):
        return jax.jit(lambda key: rollouts(key, starts, three_steps, chunk_size=chunk_size))(KEY)

    some, one = run(2), run(99)
    assert some.reward.shape == (5, 3, 1) and some.last.deter.shape == (5, 3, 6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), some, one)


@pytest.mark.parametrize(
    ("chunk_size", "starts", "rows", "chosen"),
    [
        (7, 288, 9, 7),  # as asked for
        (0, 288, 9, 48),  # 66 fit; 48 is the largest divisor of 288 above half of that
        (0, 288, 600, 1),
        (0, 10, 9, 10),  # all of a few
        (0, 293, 9, 66),  # a prime number has no such divisor
    ],
)
def test_the_start_states_rolled_out_at_once_on_a_cpu(chunk_size, starts, rows, chosen):
    assert CACHED_ROWS == 600
    assert min(starts, resolve_chunk_size(chunk_size, starts, rows)) == chosen


def test_rollouts_start_from_every_posterior_but_the_first_and_the_last():
    models = eqx.tree_at(lambda m: m.posterior_output.weight, MODELS, replace_fn=lambda x: 1000 * x)
    batch = random_batch(0, [[0, 0, 1, 0, 0], [1, 0, 0, 1, 0]])
    starts = jax.jit(lambda key: start_states(key, models, batch))(KEY)
    for b in range(2):
        sequence = jax.tree.map(lambda x, b=b: x[b], batch)
        states = jax.jit(lambda s: models.observe_sequence(KEY, s))(sequence)
        np.testing.assert_array_equal(starts.stoch[3 * b : 3 * b + 3], states.stoch[1:4])
        np.testing.assert_allclose(starts.deter[3 * b : 3 * b + 3], states.deter[1:4], rtol=1e-5, atol=1e-6)


def test_rollouts_may_start_from_the_last_posteriors_of_windows():
    models = eqx.tree_at(lambda m: m.posterior_output.weight, MODELS, replace_fn=lambda x: 1000 * x)
    batch = random_batch(0, [[0, 0, 1, 0, 0]])
    every = jax.jit(lambda key: start_states(key, models, batch, slice(0, None)))(KEY)
    last = jax.jit(lambda key: start_states(key, models, batch, slice(3, None)))(KEY)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[3:], b), every, last)
    assert last.deter.shape[0] == 2
