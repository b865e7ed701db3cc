"""Every algorithm as a whole, of size debug on a probe."""

import math

import jax
import numpy as np
import pytest

from mag import envs
from mag.algorithms.contract import Algorithm, ModelBased
from mag.algorithms.mag.algorithm import MAG
from mag.algorithms.on_policy.algorithm import OnPolicy
from mag.algorithms.registry import ALGORITHMS, default_config, make
from mag.options import override
from mag.runs.setup import set_up

ENV = "probe/one-step"
PARTS = {
    "mag": {"models", "model_reward", "policy", "critic", "rollout"},
    "mamba": {"models", "policy", "critic", "rollout"},
}
"""The parts of which an algorithm reports metrics; the on-policy methods' are their policy and critic."""


def iterate(algo, iterations, **changes):
    """Metrics and what was played of some iterations, and the state after them."""
    config = override(default_config(algo, ENV, "debug", "paper"), changes)
    (algorithm, player, _), (learner, players) = set_up(config)
    played, metrics = [], []

    def play(keys, agent):
        nonlocal players
        players, segment = player.collect(keys, agent, players)
        played.append(segment)
        return segment

    for _ in range(iterations):
        learner, found = algorithm.iteration(learner, play)
        metrics.append(found)
    return metrics, played, learner


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_it_is_an_algorithm(algo):
    algorithm = make(default_config(algo, ENV, "debug", "paper"), envs.spec(ENV))
    assert isinstance(algorithm, MAG if algo in PARTS else OnPolicy) and isinstance(algorithm, Algorithm)
    assert isinstance(algorithm, ModelBased) == (algo in PARTS)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_metrics_are_finite_and_transitions_and_episodes_add_up(algo):
    metrics, played, learner = iterate(algo, 5, num_seeds=2)
    for found in metrics[3:]:
        assert all(x.shape == (2,) and all(map(math.isfinite, x.tolist())) for x in found.values())
        assert {name.partition("/")[0] for name in found} == PARTS.get(algo, {"policy", "critic"})
    if algo in PARTS:
        # 4 environments x 8 items an iteration: 96 items after the third, 128 after the fourth; learning starts at 100.
        assert [bool(found) for found in metrics] == [False, False, False, True, True]
        assert (learner.model_reward is not None) == (algo == "mag")
    # An episode is three items (start, end, second absorbing item), of which one is a transition. In each of the 4
    # environments items 1, 4, 7, ... of all 40 are: 13, since the last episode has just begun.
    transitions = sum(np.asarray(each.transitions).sum((1, 2)) for each in played)
    ended = sum(np.asarray(each.episodes.ended).sum((1, 2)) for each in played)
    np.testing.assert_array_equal(transitions, [4 * 13] * 2)
    np.testing.assert_array_equal(ended, [4 * 13] * 2)
    numbers = [x for x in jax.tree.leaves(learner) if np.issubdtype(x.dtype, np.floating)]
    assert all(np.isfinite(x).all() for x in numbers)
