"""Real sequences beside imagined rollouts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.algorithms.mag.config import ReplayConfig
from mag.algorithms.mag.policy_update import loss_weights, rollout_metrics
from mag.algorithms.mag.replay import make_replay
from mag.algorithms.mag.replayed import newest_sequences, replayed, side_by_side
from mag.algorithms.mag.world_model import WorldModel
from mag.play.episode import empty_arrival
from tests.support.small import SPEC, random_batch


class Recorder(WorldModel):
    """A world model whose state is the observation."""

    initial = observe = predict = outcome = decode = loss = one_step = reader = None  # not needed

    def observe_sequence(self, key, sequence):
        return {"obs": sequence.obs}


def numbered(items, num_envs=2, capacity=30):
    """A replay of items whose rewards count on; environment 1 counts from 1000."""
    replay = make_replay(ReplayConfig(capacity=num_envs * capacity, sequence_length=3), num_envs)
    state = replay.init(empty_arrival(SPEC))
    for number in range(items):
        item = jax.tree.map(lambda x: jnp.broadcast_to(x, (num_envs, 1, *x.shape)), empty_arrival(SPEC))
        state = replay.add(state, item._replace(reward=number + jnp.array([[0.0], [1000.0]])))
    return state


@pytest.mark.parametrize(("items", "newest", "oldest"), [(10, 100, 0), (10, 6, 4), (45, 8, 37), (45, 100, 15)])
def test_the_newest_sequences_are_whole_and_drawn_evenly(items, newest, oldest):
    drawn = newest_sequences(jax.random.key(0), numbered(items), count=2000, length=4, newest=newest)
    reward = np.asarray(drawn.reward)
    assert reward.shape == (2000, 4)
    np.testing.assert_array_equal(np.diff(reward, axis=1), 1)
    starts = {env * 1000 + n for env in range(2) for n in range(oldest, items - 3)}
    assert set(reward[:, 0].astype(int).tolist()) == starts


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
