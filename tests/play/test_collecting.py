"""Time alignment of what is stored, with probes in which every right value is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag import envs
from mag.envs.probe import counter_reward, read_counter
from mag.play.collecting import collect, start_collecting
from tests.support.fake_env import Endless

NUM_ENVS = 3
CHUNKS = (9, 16)
"""Steps of two calls, so that episodes are cut by the end of a call."""


def choose(key, episode):
    """Actions that count the agents' own steps since their carry was reset; each environment has its offset."""
    count, offset = episode.carry
    count = jnp.where(episode.timestep.first, 0, count)
    return action_of(count, offset), (count + 1, offset)


def action_of(count, offset):
    return jnp.stack([count + offset, 2 * count + 1]).astype(jnp.int32) % 3


class Stored:
    """All items of a few environments, `[env, item]`."""

    def __init__(self, name, *, limit_ends=False):
        env = envs.make(name)
        self.ends = name == "probe/counter" or limit_ends
        offsets = jnp.arange(NUM_ENVS)
        keys = jax.random.split(jax.random.key(0), NUM_ENVS)
        # A carry of 77 would show in the actions if the first time step did not reset it.
        collectors = jax.vmap(lambda key, offset: start_collecting(key, env, (jnp.asarray(77), offset)))(keys, offsets)
        parts = []
        for i, steps in enumerate(CHUNKS):
            play = jax.jit(partial(collect, env=env, choose=choose, steps=steps, limit_ends=limit_ends))
            collectors, played = play(jax.random.key(i), collectors)
            parts.append(jax.tree.map(np.asarray, played))
        self.parts = parts
        self.arrivals, self.episodes, self.transitions, self.has_next = (
            jax.tree.map(lambda *x: np.concatenate(x, 1), *each)
            for each in zip(*((p.arrivals, p.episodes, p.transitions, p.has_next) for p in parts), strict=True)
        )


@pytest.fixture(scope="module", params=["counter", "clock", "clock whose limit ends"])
def stored(request):
    return Stored(f"probe/{request.param.split()[0]}", limit_ends="ends" in request.param)


def items(stored):
    """(env, item, place in its episode) of everything stored; episodes follow one another without a gap."""
    # Where the fifth step ends: times 0 to 4, then two absorbing items; where it is a cut: times 0 to 5.
    period = 7 if stored.ends else 6
    return [(e, n, n % period) for e in range(NUM_ENVS) for n in range(sum(CHUNKS))]


def absorbing(stored, place):
    return stored.ends and place >= 5


def test_every_stored_item_is_what_was_known_on_arriving(stored):
    arrivals = stored.arrivals
    for e, n, place in items(stored):
        assert arrivals.first[e, n] == (place == 0), (e, n)
        # The action that led here counts the steps before this one; nothing leads to the start.
        action = np.array([-1, -1]) if place == 0 else np.asarray(action_of(jnp.asarray(place - 1), jnp.asarray(e)))
        np.testing.assert_array_equal(arrivals.previous_action[e, n], action, err_msg=f"{e} {n}")
        rewarded = 1 <= place <= 5
        reward = counter_reward(jnp.asarray(place - 1), jnp.asarray(action)) if rewarded else 0
        assert arrivals.reward[e, n] == reward, (e, n)
        assert arrivals.continues[e, n] == (0 if absorbing(stored, place) else 1), (e, n)


def test_observations_are_of_the_same_moment(stored):
    arrivals = stored.arrivals
    for e, n, place in items(stored):
        if absorbing(stored, place):
            assert (arrivals.obs[e, n] == 0).all() and (arrivals.state[e, n] == 0).all()
            assert arrivals.avail[e, n].all() and not arrivals.alive[e, n].any()
        else:
            time, agent, previous = (np.asarray(x) for x in read_counter(jnp.asarray(arrivals.obs[e, n])))
            assert (time == place).all() and agent.tolist() == [0, 1] and arrivals.alive[e, n].all()
            np.testing.assert_array_equal(previous[0], arrivals.previous_action[e, n])
            np.testing.assert_array_equal(arrivals.state[e, n], [place, *arrivals.previous_action[e, n]])


def test_a_cut_at_the_time_limit_keeps_what_was_seen_last():
    arrivals = Stored("probe/clock").arrivals
    times = np.asarray(read_counter(jnp.asarray(arrivals.obs))[0])[..., 0]
    np.testing.assert_array_equal(times[0, :8], [0, 1, 2, 3, 4, 5, 0, 1])
    assert (arrivals.continues == 1).all()
    assert arrivals.first[0, 6] and not arrivals.first[0, 5]


def test_only_transitions_of_the_environment_count(stored):
    expected = np.zeros((NUM_ENVS, sum(CHUNKS)), bool)
    for e, n, place in items(stored):
        expected[e, n] = 1 <= place <= 5
    np.testing.assert_array_equal(stored.transitions, expected)


def test_an_item_has_a_next_one_where_a_transition_leads_on(stored):
    for e, n, place in items(stored):
        assert stored.has_next[e, n] == (place < 5), (e, n)


def test_the_next_call_goes_on_where_the_last_one_stopped(stored):
    first, second = stored.parts
    jax.tree.map(lambda last, x: np.testing.assert_array_equal(last, x[:, 0]), first.last, second.arrivals)
    # Nine items were acted on: those since the latest start are counted, which is item 7 after an end, 6 after a cut.
    counts = 9 - (7 if stored.ends else 6)
    np.testing.assert_array_equal(first.carry[0], [77] * NUM_ENVS)
    np.testing.assert_array_equal(second.carry[0], [counts] * NUM_ENVS)
    np.testing.assert_array_equal(second.carry[1], np.arange(NUM_ENVS))


def test_episodes_are_reported_once_with_their_return_and_length(stored):
    episodes = stored.episodes
    for e, n, place in items(stored):
        assert episodes.ended[e, n] == (place == 5), (e, n)
        if place == 5:
            # Their own five rewards: those of the items that lead here.
            assert episodes.length[e, n] == 5
            np.testing.assert_allclose(episodes.returns[e, n], stored.arrivals.reward[e, n - 4 : n + 1].sum())
    assert episodes.ended.sum() >= 9 and not episodes.won.any()


def test_a_win_counts_once():
    env = envs.make("probe/one-step")
    collectors = jax.vmap(lambda key: start_collecting(key, env, ()))(jax.random.split(jax.random.key(0), 2))

    def do_as_shown(key, episode):
        return jnp.argmax(episode.timestep.obs, -1).astype(jnp.int32), episode.carry

    _, played = jax.jit(lambda key, c: collect(key, c, env=env, choose=do_as_shown, steps=9))(
        jax.random.key(0), collectors
    )
    # Start, end, second absorbing item; three episodes.
    np.testing.assert_array_equal(played.episodes.ended[0], [False, True, False] * 3)
    np.testing.assert_array_equal(played.episodes.won, played.episodes.ended)
    np.testing.assert_array_equal(played.transitions, played.episodes.ended)
    np.testing.assert_array_equal(played.arrivals.reward[0], [0, 1, 0] * 3)
    np.testing.assert_array_equal(played.arrivals.continues[0], [1, 0, 0] * 3)
    # Each episode is drawn anew.
    assert len({tuple(np.asarray(x).argmax(-1)) for env in played.arrivals.obs for x in env[::3]}) > 1


def test_an_environment_that_does_not_end_at_its_limit_is_cut_there():
    env = Endless()
    keys = jax.random.split(jax.random.key(0), 1)
    collectors = jax.vmap(lambda key: start_collecting(key, env, (jnp.asarray(0), 0)))(keys)
    _, played = jax.jit(partial(collect, env=env, choose=choose, steps=14))(jax.random.key(1), collectors)
    # A start and 6 transitions, twice.
    assert np.flatnonzero(played.arrivals.first[0]).tolist() == [0, 7]
    assert np.flatnonzero(played.episodes.ended[0]).tolist() == [6, 13]
    assert played.episodes.length[0, [6, 13]].tolist() == [6, 6] and (played.arrivals.continues == 1).all()
