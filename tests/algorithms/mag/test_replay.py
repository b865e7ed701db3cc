"""The dataset D_e: sequences are whole, in order and drawn uniformly."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.algorithms.mag.replay import items_stored, make_replay, sample_sequences
from mag.play.episode import empty_arrival
from tests.support.held_out import of_envs
from tests.support.small import SPEC

NUM_ENVS, CAPACITY, SEQUENCE = 2, 30, 4
REPLAY = make_replay(NUM_ENVS * CAPACITY, NUM_ENVS)
CHUNK = 7
add = jax.jit(REPLAY.add)
draw = jax.jit(partial(sample_sequences, count=1200, length=SEQUENCE))


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
    sequences = draw(jax.random.key(0), state)
    reward = np.asarray(sequences.reward)
    assert reward.shape == (1200, SEQUENCE)
    # No sequence runs from the newest item into the oldest, nor from one environment into another.
    np.testing.assert_array_equal(np.diff(reward, axis=1), 1)
    np.testing.assert_array_equal(sequences.obs[..., 0, 0], reward)
    newest = chunks * CHUNK - 1
    oldest = max(0, newest - CAPACITY + 1)
    starts = {e * 1000 + n for e in range(NUM_ENVS) for n in range(oldest, newest - SEQUENCE + 2)}
    drawn, counts = np.unique(reward[:, 0].astype(int), return_counts=True)
    # At most 54 starts in 1200 draws: 22 of each on average.
    assert set(drawn.tolist()) == starts
    assert counts.max() < 4 * counts.mean() and counts.min() > counts.mean() / 4


@pytest.mark.parametrize(("chunks", "newest", "oldest"), [(2, 100, 0), (2, 6, 8), (7, 8, 41), (7, 100, 19)])
def test_the_newest_sequences_are_whole_and_every_one_is_drawn(chunks, newest, oldest):
    drawn = sample_sequences(jax.random.key(0), filled_with(chunks), count=2000, length=SEQUENCE, newest=newest)
    reward = np.asarray(drawn.reward)
    assert reward.shape == (2000, SEQUENCE)
    np.testing.assert_array_equal(np.diff(reward, axis=1), 1)
    starts = {env * 1000 + n for env in range(NUM_ENVS) for n in range(oldest, chunks * CHUNK - SEQUENCE + 1)}
    assert set(reward[:, 0].astype(int).tolist()) == starts


def test_types_are_kept():
    batch = draw(jax.random.key(0), filled_with(1))
    for stored, given in zip(jax.tree.leaves(batch), jax.tree.leaves(empty_arrival(SPEC)), strict=True):
        assert stored.dtype == given.dtype and stored.shape == (1200, SEQUENCE, *given.shape)


def test_environments_are_held_out():
    """The probe `tests.support.held_out`: the first steps of some environments, as if they were all."""
    state = jax.tree.map(lambda x: x[None], filled_with(3))
    first, second = (jax.tree.map(lambda x: x[0], of_envs(state, env, 1, 9)) for env in (0, 1))
    for part, begin in ((first, 0), (second, 1000)):
        assert int(items_stored(part)) == 9
        assert set(np.unique(draw(jax.random.key(0), part).reward)) == set(range(begin, begin + 9))
