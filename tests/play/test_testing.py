"""Tests of a policy: exactly one whole episode per environment, greedy, on a random stream of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.play.jax_player import JaxPlayer
from mag.play.testing import evaluation_keys, means, play_episodes
from mag.types import Episodes
from tests.support.fake import FakeAgent
from tests.support.fake_env import Endless, FakeEnv

ENV = FakeEnv()
# The action with the greatest sum of weights is taken, as observations are positive: 0 by the first, 2 by the last.
FIRST = FakeAgent(jnp.asarray([[2.0, 0.0], [1.0, 0.0], [0.0, 0.0]]))
LAST = FakeAgent(FIRST.weights[::-1])


def side_by_side(*agents):
    """Agents with a leading seed axis."""
    return jax.tree.map(lambda *x: jnp.stack(x), *agents)


def drawn_lengths(key, episodes):
    """Lengths that `FakeEnv.reset` draws, computed apart from `play_episodes`."""
    resets = [jax.random.split(each)[0] for each in jax.random.split(key, episodes)]
    return np.asarray([ENV.reset(each)[0].left for each in resets])


def test_each_environment_plays_one_episode_to_its_end():
    key = jax.random.key(0)
    result = jax.jit(lambda key: play_episodes(key, ENV, LAST, 50))(key)
    lengths = drawn_lengths(key, 50)
    assert result.ended.all()
    np.testing.assert_array_equal(result.length, lengths)
    # Action 2 pays 2 at every step; episodes of more than 3 steps are won.
    np.testing.assert_array_equal(result.returns, 2.0 * lengths)
    np.testing.assert_array_equal(result.won, lengths > 3)


def test_the_agent_given_is_the_agent_played():
    result = play_episodes(jax.random.key(0), ENV, FIRST, 8)
    np.testing.assert_array_equal(result.returns, np.zeros(8))


def test_a_sampled_test_draws_its_actions():
    # The weights of the actions differ by 1: where 1 is observed action 2 is drawn with exp(2) / (exp(2) + exp(1) + 1)
    # = 0.665, 1 with 0.245, which pays 1.575 a step; with more observed, the greatest is nearly sure.
    sampled = jax.jit(lambda key: play_episodes(key, ENV, LAST, 4000, greedy=False))(jax.random.key(0))
    short = np.asarray(sampled.returns)[np.asarray(sampled.length) == 1]
    # About 667 episodes of one step: the mean of two draws' standard deviation is 0.49, its standard error 0.019.
    assert abs(short.mean() - 1.575) < 0.08 and set(short.tolist()) == {0.0, 0.5, 1.0, 1.5, 2.0}


def test_short_episodes_are_not_favoured():
    result = jax.jit(lambda key: play_episodes(key, ENV, LAST, 2000))(jax.random.key(1))
    # Lengths 1..6 are equally likely: mean 3.5 with a standard error of 0.038.
    assert abs(float(result.length.mean()) - 3.5) < 0.16


def player(workers=1):
    return JaxPlayer(ENV, num_envs=1, steps=4, num_seeds=2, workers=workers)


def test_seeds_are_tested_side_by_side_as_they_are_alone():
    keys = evaluation_keys(seed=4, num_seeds=2, iteration=7)
    together = player().test(keys, side_by_side(FIRST, LAST), 6)
    for index, agent in enumerate((FIRST, LAST)):
        alone = play_episodes(keys[index], ENV, agent, 6)
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, other[index])


@pytest.mark.parametrize("episodes", [6, 5])
def test_workers_play_the_same_episodes(episodes):
    keys, agents = evaluation_keys(seed=4, num_seeds=2, iteration=7), side_by_side(FIRST, LAST)
    alone, shared = (player(workers).test(keys, agents, episodes) for workers in (1, 2))
    for one, other in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(one, other)


def test_keys_depend_on_seed_and_iteration_alone():
    data = jax.random.key_data
    together = data(evaluation_keys(seed=3, num_seeds=2, iteration=5))
    np.testing.assert_array_equal(together[1:], data(evaluation_keys(seed=4, num_seeds=1, iteration=5)))
    assert not np.array_equal(together, data(evaluation_keys(seed=3, num_seeds=2, iteration=6)))


def test_means_are_over_episodes():
    won = jnp.array([[True, False, False, True], [False, False, False, True]])
    returns, length = jnp.array([[1.0, 2, 3, 6], [0, 0, 0, 2]]), jnp.array([[4, 4, 6, 6], [1, 2, 3, 4]])
    assert means(Episodes(jnp.ones_like(won), won, returns, length)) == ([0.5, 0.25], [3.0, 0.5], [5.0, 2.5])


def test_the_time_limit_ends_an_environment_that_never_does():
    result = play_episodes(jax.random.key(0), Endless(), LAST, 3)
    np.testing.assert_array_equal(result.length, [6, 6, 6])
