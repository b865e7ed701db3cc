"""The probes' known values, by hand and by playing every way there is."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mag.envs
from mag.envs import probe


def play(name, actions, seed=0):
    """Time steps of one episode under a fixed list of joint actions, the first one included."""
    env = mag.envs.make(f"probe/{name}")
    state, time_step = env.reset(jax.random.key(seed))
    steps = [time_step]
    for action in actions:
        state, time_step = env.step(jax.random.key(0), state, jnp.array(action))
        steps.append(time_step)
    return steps


def random_play(name, episodes):
    """Mean return and share of wins under uniform legal play."""
    env = mag.envs.make(f"probe/{name}")

    def one_step(carry, key):
        state, time_step = carry
        action = jax.random.categorical(key, jnp.where(time_step.avail, 0.0, -jnp.inf))
        carry = env.step(key, state, action)
        return carry, (carry[1].reward, carry[1].won)

    def episode(key):
        key_reset, key_play = jax.random.split(key)
        keys = jax.random.split(key_play, env.spec.episode_limit)
        _, (rewards, won) = jax.lax.scan(one_step, env.reset(key_reset), keys)
        return rewards.sum(), won.any()

    returns, wins = jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(0), episodes))
    return float(returns.mean()), float(wins.mean())


@pytest.mark.parametrize("name", [name.partition("/")[2] for name in mag.envs.names() if "probe/" in name])
def test_only_the_last_step_ends_and_only_the_first_starts(name):
    env = mag.envs.make(f"probe/{name}")
    limit = env.spec.episode_limit
    steps = play(name, [[0, 0]] * limit)
    assert [bool(step.first) for step in steps] == [True] + [False] * limit
    ends = [bool(step.terminated | step.truncated) for step in steps]
    assert ends == [False] * limit + [True]
    assert bool(steps[-1].truncated) == (name == "clock")
    assert not any(bool(step.terminated & step.truncated) for step in steps)
    assert not np.any(steps[0].reward)
    assert not any(bool(step.won) for step in steps[:-1])


@pytest.mark.parametrize(
    ("name", "mean_return", "wins"),
    [
        ("counter", 11.5625, 0),
        ("clock", 11.5625, 0),
        ("one-step", 1 / 9, 1 / 9),
        ("two-step", 0.4375, 0),
        ("relay", 1 / 3, 1 / 3),
        ("memory", 1 / 3, 1 / 9),
    ],
)
def test_uniform_play_is_worth_what_the_docstring_says(name, mean_return, wins):
    # The largest standard deviation of a return is 0.5, so 4 standard errors of 20 000 episodes are 0.014.
    found = random_play(name, 20_000)
    np.testing.assert_allclose(found, (mean_return, wins), atol=0.015)


@pytest.mark.parametrize("name", ["counter", "clock"])
def test_counter_shows_time_agents_and_what_was_done(name):
    actions = [[1, 0], [2, 1], [0, 0], [0, 2], [2, 2]]
    steps = play(name, actions)
    # t + a/4 + b/16
    rewards = [0.25, 1 + 0.5 + 0.0625, 2, 3 + 0.125, 4 + 0.5 + 0.125]
    assert [float(step.reward) for step in steps] == [0, *rewards]
    for time, (step, done) in enumerate(zip(steps, [[-1, -1], *actions], strict=True)):
        seen_time, agent, previous = probe.read_counter(step.obs)
        assert seen_time.tolist() == [time, time]
        assert agent.tolist() == [0, 1]
        assert previous.tolist() == [done, done]
        assert step.state.tolist() == [time, *done]


def test_counter_rewards_are_all_different_and_the_best_is_known():
    pairs = list(itertools.product(range(3), range(3)))
    every = probe.counter_reward(jnp.arange(5)[:, None], jnp.array(pairs)[None])
    assert len(np.unique(every)) == 5 * 9
    assert float(every.max(1).sum()) == 13.125
    assert sum(float(step.reward) for step in play("counter", [[2, 2]] * 5)) == 13.125


def test_one_step_pays_for_doing_what_is_shown():
    for seed in range(8):
        time_step = play("one-step", [], seed)[0]
        shown = time_step.obs.argmax(-1)
        assert time_step.avail.sum(-1).tolist() == [3, 3]
        assert bool(jnp.take_along_axis(time_step.avail, shown[:, None], 1).all())
        right = play("one-step", [shown], seed)[-1]
        assert (float(right.reward), bool(right.won), bool(right.terminated)) == (1, True, True)
        wrong = play("one-step", [shown.at[1].set((shown[1] + 1) % 4)], seed)[-1]
        assert (float(wrong.reward), bool(wrong.won), bool(wrong.terminated)) == (0, False, True)


def test_two_step_pays_by_the_branch():
    joint = list(itertools.product(range(2), range(2)))
    returns = {
        (one, two): [float(step.reward) for step in play("two-step", [one, two])] for one in joint for two in joint
    }
    for (one, two), rewards in returns.items():
        last = 0.5 if one != (1, 1) else float(two == (1, 1))
        assert rewards == [0, 0, last]
    # Mean over the 16 ways: (3 * 4 * 0.5 + 1) / 16.
    assert sum(sum(rewards) for rewards in returns.values()) / 16 == 0.4375
    assert play("two-step", [[1, 1]])[1].obs.tolist() == [[0, 0, 1]] * 2
    assert play("two-step", [[0, 1]])[1].obs.tolist() == [[0, 1, 0]] * 2


def test_relay_shows_the_cue_to_one_and_asks_the_other():
    cues = set()
    for seed in range(12):
        first = play("relay", [], seed)[0]
        cue = int(first.obs[0, :3].argmax())
        cues.add(cue)
        assert first.obs[1].tolist() == [0, 0, 0, 0, 1, 1, 0, 0]
        for answer in range(3):
            steps = play("relay", [[0, 0], [0, answer]], seed)
            assert [float(step.reward) for step in steps] == [0, 0, float(answer == cue)]
            assert bool(steps[-1].won) == (answer == cue)
            # What agent 1 sees says nothing of the cue, and nothing of agent 0.
            other = play("relay", [[2, 0], [1, answer]], seed + 100)
            assert [step.obs[1].tolist() for step in steps] == [step.obs[1].tolist() for step in other]
    assert cues == {0, 1, 2}


def test_memory_shows_the_cue_once():
    for seed in range(4):
        first = play("memory", [], seed)[0]
        cue = first.obs[:, :3].argmax(-1)
        wait = [[0, 0]] * 3
        steps = play("memory", [*wait, cue], seed)
        assert [float(step.reward) for step in steps] == [0, 0, 0, 0, 1]
        assert bool(steps[-1].won)
        assert all(float(step.obs[:, :3].sum()) == 0 for step in steps[1:])
        half = play("memory", [*wait, cue.at[0].set((cue[0] + 1) % 3)], seed)[-1]
        assert (float(half.reward), bool(half.won)) == (0.5, False)


def test_the_key_decides_the_episode():
    one, same = play("memory", [], 3)[0], play("memory", [], 3)[0]
    assert one.obs.tolist() == same.obs.tolist()
    shown = {tuple(play("memory", [], seed)[0].obs.ravel().tolist()) for seed in range(20)}
    assert len(shown) > 4


def test_the_same_with_and_without_jit():
    env = mag.envs.make("probe/one-step")
    state, plain = env.reset(jax.random.key(5))
    jitted_state, jitted = jax.jit(env.reset)(jax.random.key(5))
    action = plain.obs.argmax(-1)
    _, after = env.step(jax.random.key(0), state, action)
    _, jitted_after = jax.jit(env.step)(jax.random.key(0), jitted_state, action)
    for a, b in zip(jax.tree.leaves((plain, after)), jax.tree.leaves((jitted, jitted_after)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_rivals_have_one_equilibrium():
    paid = np.array([[play("rivals", [[a, b]])[1].reward for b in range(2)] for a in range(2)])
    np.testing.assert_array_equal(paid[..., 0], [[1, 0.5], [-1, 0]])
    np.testing.assert_array_equal(paid[..., 1], -paid[..., 0])
    assert paid[..., 0].mean() == 1 / 8
    # Nobody gains by leaving it alone.
    stable = [
        (a, b)
        for a in range(2)
        for b in range(2)
        if paid[a, b, 0] >= paid[1 - a, b, 0] and paid[a, b, 1] >= paid[a, 1 - b, 1]
    ]
    assert stable == [(0, 1)]
