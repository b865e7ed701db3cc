"""The realism of imagined battles: computed by hand, on the simulator itself, and on a small run."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag import envs
from mag.algorithms import registry
from mag.algorithms.contract import ScoredRollout
from mag.envs.view import Sight
from mag.play.episode import arrival
from mag.play.jax_player import JaxPlayer
from mag.reports import classifier
from mag.reports.realism import can_be_compared
from mag.reports.realism.measures import _disagreement as disagreement
from mag.reports.realism.measures import realism_measures
from mag.reports.realism.rollouts import PAST, Comparison, Steps, next_steps, play, repeat
from mag.reports.realism.show import format_realism, write_picture
from mag.runs.trained import Trained
from mag.types import Arrival
from tests.support.random_agent import RandomAgent

held_out_accuracy = jax.jit(classifier.held_out_accuracy)


def arrivals(obs, alive, reward):
    """Arrivals `[rollouts, k]` with only the three fields that are read."""
    nothing = np.zeros(obs.shape[:2])
    return Arrival(obs, nothing, alive, nothing, reward, nothing, nothing, None)


def comparison():
    """Two rollouts of two steps, two agents that observe one number: the second battle ends at the second step."""
    real = np.array([[[[1.0], [1.0]], [[2.0], [2.0]]], [[[5.0], [5.0]], [[0.0], [0.0]]]])
    seen = real + np.array([[[[0.5], [0.0]], [[3.0], [0.0]]], [[[0.0], [1.0]], [[9.0], [9.0]]]])
    alive = np.array([[[True, True], [True, False]], [[False, True], [False, False]]])
    guess = np.array([[[True, True], [False, False]], [[True, True], [True, True]]])
    past = np.ones((2, PAST, 2), bool)
    ended = np.array([[False, False], [False, True]])
    found = Comparison(
        past=arrivals(np.zeros((2, PAST, 2, 1)), past, np.zeros((2, PAST))),
        imagined=ScoredRollout(
            action=np.zeros((2, 2, 2)),
            obs=seen,
            alive=guess,
            reward=np.array([[1.0, 2.0], [3.0, 4.0]]),
            continues=np.array([[1.0, 0.5], [0.5, 0.5]]),
            estimate=np.array([[0.1, 0.2], [0.3, 9.0]]),
            value=np.array([6.0, 8.0]),
        ),
        played=Steps(arrivals(real, alive, np.array([[1.0, 1.0], [2.0, 5.0]])), ended),
        repeated=Steps(arrivals(real, ~alive, np.full((2, 2), 7.0)), ended),
        decoded=real,
        returns=np.array([3.0, 99.0]),
        known=np.ones(2, bool),
        cut=np.array([False, True]),
    )
    return jax.tree.map(jnp.asarray, found)


def test_the_measures_by_hand():
    found = realism_measures(comparison(), None)
    one, two = found["by_steps_ahead"]
    # Smooth L1: of 0.5 it is 0.125, of 1 0.5, of 3 2.5, of 9 8.5; means over two agents, then over rollouts.
    assert one["error"] == pytest.approx((0.0625 + 0.25) / 2)
    assert two["error"] == pytest.approx((1.25 + 8.5) / 2)  # the step at which a battle ends is still compared
    assert (one["estimate"], two["estimate"]) == pytest.approx((0.2, 4.6))
    assert (one["reward"], two["reward"]) == (1.5, 3.0)
    # The second battle is expected to reach the second step with probability 0.5.
    assert (one["reward_imagined"], two["reward_imagined"]) == (2.0, (2.0 + 0.5 * 4.0) / 2)
    assert (one["over"], two["over"]) == (0.0, 0.5)
    assert (one["over_imagined"], two["over_imagined"]) == (0.25, (0.5 + 0.75) / 2)
    assert one["told_apart"] is None  # too few to ask a classifier
    assert (found["value"], found["returns"]) == (6.0, 3.0)  # a battle that was cut has no return
    # Real deaths: one at the second step of the first battle, one at the first of the second; what dies where a battle
    # ends is not counted. Imagined: two in the first battle, at a step that is reached with probability 0.5.
    assert found["deaths"] == (1 + 1) / 2
    assert found["deaths_imagined"] == 0.5 * 2 / 2


class OwnHealth:
    """A view of observations of one number, the agent's own health; an agent sees itself alone."""

    scene = None

    def frame(self, state):
        raise NotImplementedError

    def sight(self, obs):
        seen = jnp.eye(len(obs), dtype=bool) & (obs > 0)
        return Sight(seen, jnp.zeros((*seen.shape, 2)), jnp.where(seen, obs, jnp.nan), jnp.zeros(seen.shape), None)


def test_the_health_lost_by_hand():
    found = comparison()
    found = found._replace(past=found.past._replace(obs=jnp.full((2, PAST, 2, 1), 10.0)))
    measured = realism_measures(found, OwnHealth())
    # Of the simulator's battles only the first goes on after two steps; there each agent has 2 of 10 left.
    assert measured["health_lost"] == 8.0
    # Imagined: (5 + 2) / 2 and 9 are left, in battles that go on with probability 0.5 and 0.25.
    assert measured["health_lost_imagined"] == pytest.approx((0.5 * 6.5 + 0.25 * 1.0) / 0.75)
    assert "loses within a rollout, 1 each for a fresh unit's: 8.000, imagined 4.667" in "\n".join(
        format_realism(measured)
    )


def test_the_estimate_is_ranked_against_the_error():
    found = comparison()
    assert realism_measures(found, None)["estimate_follows_error"] == pytest.approx(1.0)
    swapped = found._replace(imagined=found.imagined._replace(estimate=found.imagined.estimate[::-1]))
    assert realism_measures(swapped, None)["estimate_follows_error"] == pytest.approx(-1.0)


def test_a_classifier_tells_what_can_be_told():
    keys = jax.random.split(jax.random.key(0), 4)
    first, second = (jax.random.normal(key, (600, 4)) for key in keys[:2])
    used = jnp.ones(600, bool)
    same = held_out_accuracy(keys[2], first, second, used)
    assert abs(same - 0.5) < 0.05  # a standard error is 0.014
    shifted = held_out_accuracy(keys[3], first, second.at[:, 0].add(2.0), used)
    # Two normal distributions two standard deviations apart are told apart with accuracy 0.841.
    assert abs(shifted - 0.841) < 0.04


def test_a_classifier_sees_dependence_and_not_what_is_unused():
    keys = jax.random.split(jax.random.key(1), 3)
    sign = jnp.sign(jax.random.normal(keys[0], (600, 1)))
    together = jnp.concatenate([sign, sign], 1)
    apart = jnp.sign(jax.random.normal(keys[1], (600, 2)))
    # Each number alone is alike in both; as a pair, half of the independent ones never occur among the others: 0.75.
    assert abs(held_out_accuracy(keys[2], together, apart, jnp.ones(600, bool)) - 0.75) < 0.05
    # Unused pairs neither teach nor test, whatever they are.
    used = jnp.arange(600) % 2 == 0
    spoilt = jnp.where(used[:, None], apart, 1e3)
    assert abs(held_out_accuracy(keys[2], together, spoilt, used) - 0.75) < 0.06


def test_the_simulator_repeats_a_battle_from_any_of_its_steps():
    """Real actions, repeated from the state in which they were taken: a deterministic task takes the same steps."""
    env = envs.make("probe/two-step")
    played = play(jax.random.key(0), env, RandomAgent())
    actions = played.arrivals.previous_action[1:]
    start = jax.tree.map(lambda x: x[0], played.episodes)
    again = repeat(jax.random.key(1), env, start, actions)
    steps = int((~played.over).sum())
    np.testing.assert_array_equal(again.ended, played.over[1:])
    for name in ("obs", "reward", "continues"):
        real, repeated = getattr(played.arrivals, name), getattr(again.arrivals, name)
        np.testing.assert_allclose(repeated[:steps], real[1 : steps + 1])


def test_the_next_steps_of_an_episode_repeat_its_last():
    played = play(jax.random.key(0), envs.make("probe/counter"), RandomAgent())
    found = next_steps(played, jnp.array(2), 5)
    # After step 2 of 5 come steps 3, 4 and the end.
    assert found.ended.tolist() == [False, False, True, True, True]
    rewards = played.arrivals.reward[jnp.array([3, 4, 5, 5, 5])]
    np.testing.assert_array_equal(found.arrivals.reward, rewards)
    assert float(rewards[0].mean()) >= 2  # the reward of `counter` is at least the step's number


@pytest.mark.parametrize(
    ("probe", "limit_ends", "cut"), [("clock", False, 1), ("clock", True, 0), ("counter", False, 0)]
)
def test_a_time_limit_cuts_a_return_unless_learning_takes_it_as_an_end(probe, limit_ends, cut):
    played = play(jax.random.key(0), envs.make(f"probe/{probe}"), RandomAgent(), limit_ends=limit_ends)
    assert int(played.cut) == cut


@pytest.mark.parametrize(
    ("algo", "env", "can"),
    [("mag", "probe/counter", False), ("mag", "smac_jax/3s_vs_3z", True), ("commnet", "smac_jax/3s_vs_3z", False)],
)
def test_models_and_episodes_that_are_long_enough_are_compared(algo, env, can):
    """Those of probe/counter end after 5 steps."""
    played = envs.make(env)
    algorithm = registry.make(registry.default_config(algo, env, "debug", "tuned"), played.spec)
    run = Trained(None, algorithm, JaxPlayer(played, num_seeds=1, num_envs=1, steps=1), None, None, [])
    assert can_be_compared(run) == can


@pytest.mark.slow
def test_real_observations_agree_on_where_units_are():
    env = envs.make("smac_jax/3s_vs_3z")
    _, timestep = jax.jit(env.reset)(jax.random.key(0))
    shown = arrival(timestep, jnp.full(env.spec.n_agents, -1))
    obs = shown.obs[None]
    assert disagreement(env.view, obs, jnp.ones(1, bool)) == pytest.approx(0.0, abs=1e-4)
    assert disagreement(env.view, obs, jnp.zeros(1, bool)) is None


def test_what_is_written(tmp_path):
    found = realism_measures(comparison(), None)
    json.dumps(found, allow_nan=False)
    text = "\n".join(format_realism(found))
    assert "agents that die within a rollout: 1.000, imagined 0.500" in text
    write_picture(found, tmp_path / "picture.png", "a title")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
