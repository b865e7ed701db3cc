"""The figures of the probes that hold a world model's rollouts beside the simulator's."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from mag.algorithms.mag.rollout import Rollout
from tests.support.advantages import summary
from tests.support.effects import foreseen
from tests.support.exploited import outcomes

CHANCE = np.array([[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]])
"""The policy; it cannot take the third action of the first state."""
REAL = np.array([[1.0, 3.0, 99.0], [0.0, 4.0, 2.0]])
"""Advantages -1 and 1 in the first state, -2, 2 and 0 in the second."""


def samples(worths: np.ndarray) -> np.ndarray:
    """Two samples of each worth, without noise."""
    return np.stack([worths, worths], -1)


@pytest.mark.parametrize(
    ("own", "correlation", "gain"),
    [
        (REAL, 1, (1 + 2) / 2),
        (10 + 3 * REAL, 1, (1 + 2) / 2),
        (-REAL, -1, (-1 - 2) / 2),
        # Advantages 1, -1 and 0, 0, 0: products -2 of the root of 2 times 10; the first of equal actions is taken.
        (np.array([[3.0, 1.0, 0.0], [5.0, 5.0, 5.0]]), -2 / np.sqrt(20), (-1 - 2) / 2),
    ],
)
def test_advantages_are_those_over_the_policys_mean(own: np.ndarray, correlation: float, gain: float) -> None:
    found = summary(samples(own), samples(REAL), CHANCE)
    assert found["correlation"] == pytest.approx(correlation)
    assert found["gain"] == pytest.approx(gain)
    assert found["possible"] == pytest.approx(1.5)


def test_noise_of_the_samples_does_not_lower_the_correlation() -> None:
    rng = np.random.default_rng(1)
    worth = rng.normal(size=(4000, 3, 1))
    own, real = (worth + 2 * rng.normal(size=(4000, 3, 4)) for _ in range(2))
    found = summary(own, real, np.full((4000, 3), 1 / 3))
    assert found["correlation"] == pytest.approx(1, abs=3 * found["error"])
    assert found["error"] < 0.1


def test_effects_are_what_an_action_changes() -> None:
    # Half of every effect is foreseen, and a bias that all actions share does not count.
    assert foreseen(samples(7 + 0.5 * REAL), samples(REAL), CHANCE) == pytest.approx((0.5, 1))
    # Effects -1, 1 and -2, 2, 0; foreseen 1, -1 and 0, 0, 0: -2 of 10, and of the root of 2 times 10.
    own = np.array([[3.0, 1.0, 0.0], [5.0, 5.0, 5.0]])
    assert foreseen(samples(own), samples(REAL), CHANCE) == pytest.approx((-0.2, -2 / np.sqrt(20)))
    # Of several features all effects count, here those of one that is foreseen whole and one that is not at all.
    real, own = (samples(np.stack([x, y])) for x, y in ((REAL, REAL), (REAL, 0 * REAL)))
    assert foreseen(*(np.moveaxis(x, 0, -1) for x in (own, real)), CHANCE) == pytest.approx((0.5, np.sqrt(0.5)))


def test_outcomes_count_what_the_episode_reaches() -> None:
    """A rollout of three steps that ends with the second, and one that goes on; the third is replayed."""
    continues = jnp.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    reward = jnp.array([[1.0, 2.0, 50.0], [1.0, 1.0, 1.0], [70.0, 70.0, 70.0]])
    last = jnp.array([[9.0], [16.0], [90.0]])
    nothing: Any = None
    parts = (reward[None, ..., None], continues[None, ..., None], nothing, nothing, last[None])
    rollouts = Rollout(nothing, nothing, nothing, nothing, *parts)
    found = outcomes(rollouts, 2, lambda state: state, 0.5)
    # 1 + 0.5 * 2 and 1 + 0.5 + 0.25; an eighth of the value 16, and none after the end.
    assert found == pytest.approx({"rewards": (2 + 1.75) / 2, "end": 1.0, "sum": 2.875})
