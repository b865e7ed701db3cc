"""Epochs of minibatches, and the optimisers' rules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.config import ModelRewardConfig, ModelsConfig
from mag.optimise import adam_of, clipped_rmsprop, fit_epochs


def test_every_row_is_used_once_an_epoch_in_equal_parts():
    rows = jnp.arange(1.0, 8.0)

    def update(seen, part):
        return seen + jnp.zeros(8).at[part.astype(int)].add(1), {"size": jnp.asarray(len(part)), "sum": part.sum()}

    seen, means = jax.jit(lambda key: fit_epochs(key, jnp.zeros(8), rows, update, epochs=1, minibatches=3))(
        jax.random.key(0)
    )
    # Three parts of two; the seventh row is left out.
    assert float(means["size"]) == 2 and sorted(seen.tolist()) == [0, 0, 1, 1, 1, 1, 1, 1]
    left_out = int(np.argmin(np.where(np.arange(8) > 0, seen, 1)))
    np.testing.assert_allclose(means["sum"], (28 - left_out) / 3, rtol=1e-6)
    seen, _ = jax.jit(lambda key: fit_epochs(key, jnp.zeros(8), rows[:6], update, epochs=4, minibatches=3))(
        jax.random.key(0)
    )
    np.testing.assert_array_equal(seen, [0, 4, 4, 4, 4, 4, 4, 0])


def test_rmsprop_divides_by_the_root_mean_square_after_the_clip():
    rule = clipped_rmsprop(0.1, 1.0)
    params = {"w": jnp.zeros(2)}
    updates, _ = rule.update({"w": jnp.array([3.0, 4.0])}, rule.init(params), params)
    # The gradient becomes (0.6, 0.8), whose mean squares are a hundredth of its squares after one step.
    np.testing.assert_allclose(updates["w"], [-1.0, -1.0], rtol=1e-3)


@pytest.mark.parametrize("config", [ModelsConfig, ModelRewardConfig])
def test_the_learning_rate_decays_with_each_update(config):
    rule = adam_of(config(learning_rate=0.1, learning_rate_decay=0.5, max_grad_norm=1e9))
    params = gradient = {"w": jnp.array([2.0, -3.0])}
    state = rule.init(params)
    for step in (0.1, 0.05, 0.025):  # Adam's steps on a constant gradient are its rate times the sign
        updates, state = rule.update(gradient, state, params)
        np.testing.assert_allclose(updates["w"], [-step, step], rtol=1e-4)
