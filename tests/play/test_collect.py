"""Time alignment of what is stored, with probes in which every right value is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mag.play.collect import collect, start

from mag import envs
from mag.envs.probe import counter_reward, read_counter

pytestmark = pytest.mark.usefixtures("compile_quickly")

NUM_ENVS = 3
CHUNKS = (9, 16)
"""Steps of two calls, so that episodes are cut by the end of a call."""


def act(key, memory, timestep):
    """Actions that count the agents' own steps since their memory was reset; each environment has its offset."""
    count, offset = memory
    count = jnp.where(timestep.first, 0, count)
    return action_of(count, offset), (count + 1, offset)


def action_of(count, offset):
    return jnp.stack([count + offset, 2 * count + 1]).astype(jnp.int32) % 3


class Stored:
    """All items of a few environments, `[env, item]`, and episodes, `[item, env]`."""

    def __init__(self, name):
        env = envs.make(name)
        self.spec = env.spec
        offsets = jnp.arange(NUM_ENVS)
        keys = jax.random.split(jax.random.key(0), NUM_ENVS)
        # A memory of 77 would show in the actions if the first time step did not reset it.
        collectors = jax.vmap(lambda key, offset: start(key, env, (jnp.asarray(77), offset)))(keys, offsets)
        parts = []
        for i, steps in enumerate(CHUNKS):
            play = jax.jit(lambda key, c, steps=steps: collect(key, c, env=env, act=act, steps=steps))
            collectors, played = play(jax.random.key(i), collectors)
            parts.append(jax.tree.map(np.asarray, played))
        self.steps = jax.tree.map(lambda *x: np.concatenate(x, 1), *(p.steps for p in parts))
        self.episodes = jax.tree.map(lambda *x: np.concatenate(x), *(p.episodes for p in parts))
        self.transitions = np.concatenate([p.transitions for p in parts])


@pytest.fixture(scope="module", params=["counter", "clock"])
def stored(request):
    return Stored(f"probe/{request.param}")


def items(stored):
    """(env, item, place in its episode) of everything stored; episodes follow one another without a gap."""
    # counter: times 0 to 4, then two absorbing items; clock: times 0 to 5.
    period = 7 if stored.spec.name == "probe/counter" else 6
    return [(e, n, n % period) for e in range(NUM_ENVS) for n in range(sum(CHUNKS))]


def absorbing(stored, place):
    return stored.spec.name == "probe/counter" and place >= 5


def test_every_stored_item_is_what_was_known_on_arriving(stored):
    steps = stored.steps
    for e, n, place in items(stored):
        assert steps.first[e, n] == (place == 0), (e, n)
        # The action that led here counts the steps before this one; nothing leads to the start.
        action = np.array([-1, -1]) if place == 0 else np.asarray(action_of(jnp.asarray(place - 1), jnp.asarray(e)))
        np.testing.assert_array_equal(steps.previous_action[e, n], action, err_msg=f"{e} {n}")
        rewarded = 1 <= place <= 5
        reward = counter_reward(jnp.asarray(place - 1), jnp.asarray(action)) if rewarded else 0
        assert steps.reward[e, n] == reward, (e, n)
        assert steps.continues[e, n] == (0 if absorbing(stored, place) else 1), (e, n)


def test_observations_are_of_the_same_moment(stored):
    steps = stored.steps
    for e, n, place in items(stored):
        if absorbing(stored, place):
            assert (steps.obs[e, n] == 0).all() and (steps.state[e, n] == 0).all()
            assert steps.avail[e, n].all() and not steps.alive[e, n].any()
        else:
            time, agent, previous = (np.asarray(x) for x in read_counter(jnp.asarray(steps.obs[e, n])))
            assert (time == place).all() and agent.tolist() == [0, 1] and steps.alive[e, n].all()
            np.testing.assert_array_equal(previous[0], steps.previous_action[e, n])
            np.testing.assert_array_equal(steps.state[e, n], [place, *steps.previous_action[e, n]])


def test_a_time_limit_keeps_what_was_seen_last():
    steps = Stored("probe/clock").steps
    times = np.asarray(read_counter(jnp.asarray(steps.obs))[0])[..., 0]
    np.testing.assert_array_equal(times[0, :8], [0, 1, 2, 3, 4, 5, 0, 1])
    assert (steps.continues == 1).all()
    assert steps.first[0, 6] and not steps.first[0, 5]


def test_only_transitions_of_the_environment_count(stored):
    expected = np.zeros((sum(CHUNKS), NUM_ENVS), bool)
    for e, n, place in items(stored):
        expected[n, e] = 1 <= place <= 5
    np.testing.assert_array_equal(stored.transitions, expected)


def test_episodes_are_reported_once_with_their_return_and_length(stored):
    episodes = stored.episodes
    for e, n, place in items(stored):
        assert episodes.ended[n, e] == (place == 5), (e, n)
        if place == 5:
            # Their own five rewards: those of the items that lead here.
            assert episodes.length[n, e] == 5
            np.testing.assert_allclose(episodes.returned[n, e], stored.steps.reward[e, n - 4 : n + 1].sum())
    assert episodes.ended.sum() >= 9 and not episodes.won.any()


def test_a_win_counts_once():
    env = envs.make("probe/one-step")
    collectors = jax.vmap(lambda key: start(key, env, ()))(jax.random.split(jax.random.key(0), 2))

    def do_as_shown(key, memory, timestep):
        return jnp.argmax(timestep.obs, -1).astype(jnp.int32), memory

    _, played = jax.jit(lambda key, c: collect(key, c, env=env, act=do_as_shown, steps=9))(
        jax.random.key(0), collectors
    )
    # Start, end, second absorbing item; three episodes.
    np.testing.assert_array_equal(played.episodes.ended[:, 0], [False, True, False] * 3)
    np.testing.assert_array_equal(played.episodes.won, played.episodes.ended)
    np.testing.assert_array_equal(played.transitions, played.episodes.ended)
    np.testing.assert_array_equal(played.steps.reward[0], [0, 1, 0] * 3)
    np.testing.assert_array_equal(played.steps.continues[0], [1, 0, 0] * 3)
    # Each episode is drawn anew.
    assert len({tuple(np.asarray(x).argmax(-1)) for env in played.steps.obs for x in env[::3]}) > 1
