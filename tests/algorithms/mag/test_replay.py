"""The dataset D_e: sequences are whole, in order and drawn uniformly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.algorithms.mag.config import ReplayConfig
from mag.algorithms.mag.replay import items_stored, make_replay
from mag.play.episode import empty_arrival
from tests.support.held_out import of_envs
from tests.support.small import SPEC

NUM_ENVS, CAPACITY, SEQUENCE = 2, 30, 4
CONFIG = ReplayConfig(capacity=NUM_ENVS * CAPACITY, learning_starts=0, sequence_length=SEQUENCE, batch_size=400)
REPLAY = make_replay(CONFIG, NUM_ENVS)
CHUNK = 7
add = jax.jit(REPLAY.add)
sample = jax.jit(lambda state, key: REPLAY.sample(state, key).experience)


def filled_with(chunks):
    """A replay to which numbered items were added; environment 1 counts from 1000."""
    state = REPLAY.init(empty_arrival(SPEC))
    empty = empty_arrival(SPEC)
    for c in range(chunks):
        number = np.arange(c * CHUNK, (c + 1) * CHUNK) + np.array([[0], [1000]])
        items = jax.tree.map(lambda x: np.broadcast_to(x, (NUM_ENVS, CHUNK, *x.shape)), empty)
        obs = np.broadcast_to(number[..., None, None], items.obs.shape)
        items = items._replace(reward=number.astype(np.float32), obs=obs.astype(np.float32))
        state = add(state, jax.tree.map(jnp.asarray, items))
    return state


@pytest.mark.parametrize("chunks", [1, 3, 6, 9])
def test_sequences_are_whole_and_every_one_is_drawn(chunks):
    state = filled_with(chunks)
    assert int(items_stored(state)) == min(chunks * CHUNK, CAPACITY)
    batches = [sample(state, jax.random.key(i)) for i in range(3)]
    reward = np.concatenate([x.reward for x in batches])
    assert reward.shape == (3 * 400, SEQUENCE)
    # No sequence runs from the newest item into the oldest, nor from one environment into another.
    np.testing.assert_array_equal(np.diff(reward, axis=1), 1)
    np.testing.assert_array_equal(batches[0].obs[..., 0, 0], batches[0].reward)
    newest = chunks * CHUNK - 1
    oldest = max(0, newest - CAPACITY + 1)
    starts = {e * 1000 + n for e in range(NUM_ENVS) for n in range(oldest, newest - SEQUENCE + 2)}
    drawn, counts = np.unique(reward[:, 0].astype(int), return_counts=True)
    # At most 54 starts in 1200 draws: 22 of each on average.
    assert set(drawn.tolist()) == starts
    assert counts.max() < 4 * counts.mean() and counts.min() > counts.mean() / 4


def test_types_are_kept():
    batch = sample(filled_with(1), jax.random.key(0))
    for stored, given in zip(jax.tree.leaves(batch), jax.tree.leaves(empty_arrival(SPEC)), strict=True):
        assert stored.dtype == given.dtype and stored.shape == (400, SEQUENCE, *given.shape)


def test_environments_are_held_out():
    """The probe `tests.support.held_out`: the first steps of some environments, as if they were all."""
    state = jax.tree.map(lambda x: x[None], filled_with(3))
    first, second = (jax.tree.map(lambda x: x[0], of_envs(state, env, 1, 9)) for env in (0, 1))
    for part, begin in ((first, 0), (second, 1000)):
        assert int(items_stored(part)) == 9
        assert set(np.unique(sample(part, jax.random.key(0)).reward)) == set(range(begin, begin + 9))
