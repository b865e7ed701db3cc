"""Evaluation: exactly one whole episode per environment, greedy, on a random stream of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.play.testing import EvaluationResult, evaluate, evaluation_keys, make_evaluator, means
from tests.support.fake import FakeAlgorithm, FakeEnv, fake_config

ALGORITHM = FakeAlgorithm(fake_config())
# Positive weights: action 0 at every step by argmax over [2, 1, 0] x obs; see `LAST` for the other one.
FIRST = jnp.asarray([[2.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
LAST = FIRST[::-1]


def drawn_lengths(key, episodes):
    """Lengths that `FakeEnv.reset` draws, computed apart from `evaluate`."""
    resets = [jax.random.split(each)[0] for each in jax.random.split(key, episodes)]
    return np.asarray([FakeEnv().reset(each)[0][0] for each in resets])


def test_each_environment_plays_one_episode_to_its_end():
    key = jax.random.key(0)
    result = jax.jit(lambda key: evaluate(ALGORITHM, LAST, key, 50))(key)
    lengths = drawn_lengths(key, 50)
    np.testing.assert_array_equal(result.length, lengths)
    # Action 2 pays 2 at every step; episodes of more than 3 steps are won.
    np.testing.assert_array_equal(result.returned, 2.0 * lengths)
    np.testing.assert_array_equal(result.won, lengths > 3)


def test_the_policy_given_is_the_policy_played():
    result = evaluate(ALGORITHM, FIRST, jax.random.key(0), 8)
    np.testing.assert_array_equal(result.returned, np.zeros(8))


def test_short_episodes_are_not_favoured():
    result = jax.jit(lambda key: evaluate(ALGORITHM, LAST, key, 2000))(jax.random.key(1))
    # Lengths 1..6 are equally likely: mean 3.5 with a standard error of 0.038.
    assert abs(float(result.length.mean()) - 3.5) < 0.16


def test_seeds_are_evaluated_side_by_side_as_they_are_alone():
    keys = evaluation_keys(seed=4, num_seeds=2, iteration=7)
    together = make_evaluator(ALGORITHM, 6)(jnp.stack([FIRST, LAST]), keys)
    for index, policy in enumerate((FIRST, LAST)):
        alone = evaluate(ALGORITHM, policy, keys[index], 6)
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, other[index])


@pytest.mark.parametrize("episodes", [6, 5])
def test_workers_play_the_same_episodes(episodes):
    keys, policies = evaluation_keys(seed=4, num_seeds=2, iteration=7), jnp.stack([FIRST, LAST])
    alone = make_evaluator(ALGORITHM, episodes)(policies, keys)
    shared = make_evaluator(FakeAlgorithm(fake_config(workers=2)), episodes)(policies, keys)
    for one, other in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(one, other)


def test_keys_depend_on_seed_and_iteration_alone():
    data = jax.random.key_data
    together = data(evaluation_keys(seed=3, num_seeds=2, iteration=5))
    np.testing.assert_array_equal(together[1:], data(evaluation_keys(seed=4, num_seeds=1, iteration=5)))
    assert not np.array_equal(together, data(evaluation_keys(seed=3, num_seeds=2, iteration=6)))


def test_means_are_over_episodes():
    won = jnp.array([[True, False, False, True], [False, False, False, True]])
    result = EvaluationResult(won, jnp.array([[1.0, 2, 3, 6], [0, 0, 0, 2]]), jnp.array([[4, 4, 6, 6], [1, 2, 3, 4]]))
    assert means(result) == ([0.5, 0.25], [3.0, 0.5], [5.0, 2.5])


def test_the_time_limit_ends_an_environment_that_never_does():
    class Endless(FakeEnv):
        def step(self, key, state, action):
            return super().step(key, (state[0] + 100, state[1]), action)

    result = evaluate(FakeAlgorithm(fake_config(), env=Endless()), LAST, jax.random.key(0), 3)
    np.testing.assert_array_equal(result.length, [6, 6, 6])
