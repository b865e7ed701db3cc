"""Imagined episodes depend on the observed steps and on no later observation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.algorithms.mag.imagination import imagine, scored_rollout
from mag.algorithms.mag.local_models import ModelState
from mag.algorithms.mag.model_reward import ErrorReward
from mag.algorithms.mag.policy import Actor, Critic
from mag.learning.distributions import smooth_l1
from tests.support.small import NETWORKS, SPEC, filled, random_batch, small_models
from tests.support.walk import Walk

KEY = jax.random.key(0)
MODELS = small_models()
LENGTH, OBSERVED = 6, 3
EPISODE = jax.tree.map(lambda x: x[0], random_batch(0, [[True] + [False] * (LENGTH - 1)])._replace(state=None))


@jax.jit
def imagined(episode):
    return imagine(KEY, episode, models=MODELS, predict=MODELS.predict, observed=OBSERVED, reward_scale=2.0)


@pytest.fixture(scope="module")
def found():
    return jax.tree.map(np.asarray, imagined(EPISODE))


def test_observed_steps_are_decoded_from_what_was_observed(found):
    posterior = MODELS.observe_sequence(jax.random.split(KEY, 3)[0], EPISODE)
    decoded = jax.vmap(MODELS.decode)(posterior)
    np.testing.assert_allclose(found.obs[:OBSERVED], decoded[:OBSERVED], rtol=1e-5, atol=1e-6)
    assert not np.allclose(found.obs[OBSERVED:], decoded[OBSERVED:])


def test_later_observations_change_nothing_but_the_errors(found):
    other = EPISODE._replace(obs=EPISODE.obs.at[OBSERVED:].add(1.0))
    changed = imagined(other)
    for name in ("obs", "reward", "continues"):
        np.testing.assert_array_equal(getattr(changed, name), getattr(found, name))
    assert (changed.error[OBSERVED:] != found.error[OBSERVED:]).all()


def test_the_error_is_the_distance_of_the_observations(found):
    size = np.abs(np.asarray(found.obs) - np.asarray(EPISODE.obs))
    each = np.where(size < 1, size**2 / 2, size - 0.5)
    np.testing.assert_allclose(found.error, each.sum(-1).mean(-1), rtol=1e-5)


def test_the_actions_are_the_real_ones(found):
    action = EPISODE.previous_action[OBSERVED]
    other = EPISODE._replace(previous_action=EPISODE.previous_action.at[OBSERVED].set((action + 1) % SPEC.n_actions))
    changed = imagined(other)
    np.testing.assert_array_equal(changed.obs[:OBSERVED], found.obs[:OBSERVED])
    assert (changed.reward[OBSERVED] != found.reward[OBSERVED]).all()


def test_nothing_leads_to_the_first_step(found):
    assert (found.reward[0], found.continues[0]) == (0.0, 1.0)
    np.testing.assert_allclose(found.one_step[0], found.error[0], rtol=1e-6)


def test_one_step_predictions_start_from_what_was_observed_the_step_before():
    """With a `predict` that stays where it is, the prediction of a step is the posterior of the one before."""

    def stay(key, state, action):
        return ModelState(state.stoch, state.deter)

    result = jax.jit(lambda: imagine(KEY, EPISODE, models=MODELS, predict=stay, observed=2, reward_scale=1.0))()
    posterior = MODELS.observe_sequence(jax.random.split(KEY, 3)[0], EPISODE)
    decoded = jax.vmap(MODELS.decode)(posterior)
    expected = smooth_l1(decoded[:-1] - EPISODE.obs[1:]).sum(-1).mean(-1)
    np.testing.assert_allclose(result.one_step[1:], expected, rtol=1e-4)
    # On its own from step 2 on it stays at step 1.
    np.testing.assert_allclose(result.obs[2:], jnp.broadcast_to(decoded[1], result.obs[2:].shape), rtol=1e-4, atol=1e-5)


def test_rewards_are_in_the_environments_units(found):
    half = jax.jit(
        lambda: imagine(KEY, EPISODE, models=MODELS, predict=MODELS.predict, observed=OBSERVED, reward_scale=1.0)
    )()
    np.testing.assert_allclose(half.reward, 2 * found.reward, rtol=1e-5)


def test_a_scored_rollout_reads_the_states_arrived_at():
    models = Walk(jnp.zeros((SPEC.n_agents, 2)), jnp.asarray(1.0))
    actor = filled(lambda key: Actor(key, models, SPEC.n_actions, NETWORKS))
    critic = filled(lambda key: Critic(key, models, NETWORKS))
    model_reward = filled(lambda key: ErrorReward(key, models, hidden=4, layers=1))
    past = EPISODE._replace(obs=EPISODE.obs[..., :2])

    @jax.jit
    def roll_out(past):
        networks = {"models": models, "actor": actor, "critic": critic, "model_reward": model_reward}
        return scored_rollout(KEY, past, **networks, predict=models.predict, length=4, reward_scale=2.0)

    found = roll_out(past)
    # A walk's state is its observation; the reward is the sum of an agent's move, the continuation exp(-|x|^2).
    at = np.concatenate([past.obs[-1:], found.obs])
    np.testing.assert_allclose(found.reward, np.diff(at, axis=0).sum(-1).mean(-1) / 2, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.continues, np.exp(-(at[1:] ** 2).sum(-1)).mean(-1), rtol=1e-4, atol=1e-6)
    errors = np.array([np.mean(model_reward.error(obs)) for obs in found.obs])
    np.testing.assert_allclose(found.estimate, errors, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.value, critic(past.obs[-1]).mean() / 2, rtol=1e-4, atol=1e-6)
