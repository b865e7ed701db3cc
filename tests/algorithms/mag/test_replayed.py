"""Real sequences beside imagined rollouts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.algorithms.mag.policy_update import loss_weights, rollout_metrics
from mag.algorithms.mag.replayed import replayed, side_by_side
from mag.algorithms.mag.world_model import WorldModel
from tests.support.small import random_batch


class Recorder(WorldModel):
    """A world model whose state is the observation."""

    initial = observe = predict = outcome = decode = loss = one_step = reader = None  # not needed

    def observe_sequence(self, key, sequence):
        return {"obs": sequence.obs}


def test_real_steps_are_told_as_transitions():
    # Of 2 + 3 + 1 arrivals, 2 fill the memory; three transitions follow: from arrivals 2, 3, 4 to 3, 4, 5.
    batch = random_batch(0, np.zeros((2, 6), bool))
    batch = batch._replace(continues=jnp.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]], jnp.float32))
    found = replayed(jax.random.key(0), Recorder(), batch, burn_in=2, reward_scale=10.0)
    np.testing.assert_array_equal(found.state["obs"], batch.obs[:, 2:5])
    np.testing.assert_array_equal(found.last["obs"], batch.obs[:, 5])
    np.testing.assert_array_equal(found.action, batch.previous_action[:, 3:])
    np.testing.assert_allclose(found.reward[..., 0], 10 * batch.reward[:, 3:])
    policy, value = loss_weights(found)
    # The first sequence ends with its second transition: what follows does not count. No action counts.
    np.testing.assert_array_equal(value[..., 0], [[1, 1, 0], [1, 1, 1]])
    assert not np.asarray(policy).any()


def test_what_the_time_limit_cut_does_not_count():
    firsts = np.zeros((2, 6), bool)
    firsts[:, 4] = True
    batch = random_batch(0, firsts)
    # The first sequence's episode ended before the next began, the second's was cut.
    continues = jnp.array([[1, 1, 1, 0, 1, 1], [1, 1, 1, 1, 1, 1]], jnp.float32)
    found = replayed(jax.random.key(0), Recorder(), batch._replace(continues=continues), burn_in=1, reward_scale=1.0)
    np.testing.assert_array_equal(loss_weights(found)[1][..., 0], [[1, 1, 0, 0], [0, 0, 0, 0]])


def test_an_episode_that_begins_after_an_end_is_not_cut():
    # The burn-in ends with an episode's last item, after its end: the next item begins another episode.
    firsts = np.zeros((3, 6), bool)
    firsts[:, 3] = True
    firsts[2, 5] = True  # that episode is cut
    continues = jnp.array([[1, 0, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1], [1, 0, 0, 1, 1, 1]], jnp.float32)
    batch = random_batch(0, firsts)._replace(continues=continues)
    found = replayed(jax.random.key(0), Recorder(), batch, burn_in=2, reward_scale=1.0)
    np.testing.assert_array_equal(loss_weights(found)[1][..., 0], [[1, 1, 1], [0, 0, 0], [0, 0, 0]])


def test_imagined_actions_count_beside_real_values():
    batch = random_batch(0, np.zeros((2, 6), bool))
    batch = batch._replace(continues=jnp.ones((2, 6)))
    real = replayed(jax.random.key(0), Recorder(), batch, burn_in=2, reward_scale=1.0)
    both = side_by_side(real._replace(imagined=None, alive=None), real)
    policy, value = loss_weights(both)
    np.testing.assert_array_equal(policy[..., 0], [[1] * 3] * 2 + [[0] * 3] * 2)
    assert np.asarray(value).all()


def test_what_is_told_of_rollouts_is_the_mean_over_imagined_steps_that_are_reached():
    batch = random_batch(0, np.zeros((1, 6), bool))
    real = replayed(jax.random.key(0), Recorder(), batch, burn_in=2, reward_scale=1.0)
    continues = jnp.broadcast_to(jnp.array([0.5, 0.0, 1.0])[None, :, None], real.continues.shape)
    imagined = real._replace(reward=jnp.array([[[4.0], [1.0], [9.0]]]), continues=continues, imagined=None, alive=None)
    both = side_by_side(imagined, real._replace(reward=real.reward + 100))
    found = rollout_metrics(both, jnp.zeros((6, 3)))
    # The imagined steps are reached with probabilities 1, 0.5 and 0.
    assert found["rollout/reward"] == pytest.approx((4 + 0.5 * 1) / 1.5)
    assert found["rollout/continues"] == pytest.approx((0.5 + 0.5 * 0) / 1.5)
