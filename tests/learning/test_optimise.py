"""Epochs of minibatches, and the optimisers' rules."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mag.algorithms.mag.config import ModelRewardConfig, ModelsConfig
from mag.learning.optimise import Trainable, clipped_rmsprop, fit, fit_epochs, make_optimiser


def rule_of(config):
    """The optimiser that a group of options names."""
    return make_optimiser(config.optimiser, config.learning_rate, config.learning_rate_decay, config.max_grad_norm)


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
    # However small a gradient is, its step is as large: epsilon, 1e-8, joins the root, not the square.
    updates, _ = rule.update({"w": jnp.array([3e-6, 4e-6])}, rule.init(params), params)
    np.testing.assert_allclose(updates["w"], [-1.0, -1.0], rtol=5e-2)


@pytest.mark.parametrize("config", [ModelsConfig, ModelRewardConfig])
def test_the_learning_rate_decays_with_each_update(config):
    rule = rule_of(config(learning_rate=0.1, learning_rate_decay=0.5, max_grad_norm=1e9))
    params = gradient = {"w": jnp.array([2.0, -3.0])}
    state = rule.init(params)
    for step in (0.1, 0.05, 0.025):  # Adam's steps on a constant gradient are its rate times the sign
        updates, state = rule.update(gradient, state, params)
        np.testing.assert_allclose(updates["w"], [-step, step], rtol=1e-4)


@pytest.mark.parametrize("config", [ModelsConfig, ModelRewardConfig])
def test_muon_makes_a_matrix_step_orthogonal_and_leaves_the_rest_to_nadam(config):
    rule = rule_of(config(optimiser="muon", learning_rate=0.1, learning_rate_decay=0.5))
    gradient = {"w": jnp.array([[1.0, 2.0, 0.5, -1.0], [0.0, 1.0, 3.0, 2.0]]), "b": jnp.array([2.0, -3.0])}
    params = jax.tree.map(jnp.zeros_like, gradient)
    state = rule.init(params)
    left, size, right = np.linalg.svd(gradient["w"], full_matrices=False)
    size = size / np.linalg.norm(size)
    for _ in range(5):  # the polynomial that takes singular values near 1
        size = 3.4445 * size - 4.775 * size**3 + 2.0315 * size**5
    assert np.all((size > 0.65) & (size < 1.25))
    # A constant gradient g has a constant direction. Nadam looks a step ahead: after n steps its mean of gradients is
    # (1 - 0.9^n) g, and its step 0.9 (1 - 0.9^n) / (1 - 0.9^(n + 1)) + 0.1 / (1 - 0.9^n).
    for rate, ahead in ((0.1, 0.09 / 0.19 + 1), (0.05, 0.171 / 0.271 + 0.1 / 0.19)):
        updates, state = rule.update(gradient, state, params)
        # The root mean square of a step is 0.2 of the rate where it is orthogonal: sqrt(4) for the longer side.
        np.testing.assert_allclose(updates["w"], -rate * 0.2 * 2.0 * (left * size) @ right, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(updates["b"], [-rate * ahead, rate * ahead], rtol=1e-4)


def test_muon_steps_matrices_of_a_shape_as_if_each_were_alone():
    def random(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    rng = np.random.default_rng(0)
    params = {"a": random(3, 4), "b": [random(5), random(3, 4)], "c": random(4, 3), "d": random(5), "e": random()}
    together, alone = make_optimiser("muon", 0.1, 1.0, 1e9), optax.contrib.muon(0.1, consistent_rms=0.2)
    states = together.init(params), alone.init(params)
    for _ in range(2):
        gradient = jax.tree.map(lambda x: random(*x.shape), params)
        steps, state = together.update(gradient, states[0], params)
        expected, state_alone = alone.update(gradient, states[1], params)
        states = state, state_alone
        assert jax.tree.structure(steps) == jax.tree.structure(params)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), steps, expected)


def test_a_moving_average_follows_the_updates_and_gives_the_weights():
    def loss(params, key):
        return params["w"], {}

    descent = optax.sgd(1.0)
    start = {"w": jnp.asarray(10.0)}
    averaged = Trainable.create(start, descent, 0.5)
    assert float(averaged.weights["w"]) == 10
    averaged, _ = fit(jax.random.key(0), averaged, loss, descent, batches=3, ema_decay=0.5)
    # Parameters 10, then 9, 8, 7 after the updates; the last three count 1, 2 and 4 sevenths:
    # (1 * 9 + 2 * 8 + 4 * 7) / 7 = 53 / 7.
    assert float(averaged.params["w"]) == 7
    np.testing.assert_allclose(averaged.weights["w"], 53 / 7, rtol=1e-6)
    plain, _ = fit(jax.random.key(0), Trainable.create(start, descent), loss, descent, batches=3)
    assert plain.ema is None and float(plain.weights["w"]) == 7


def test_the_first_average_is_the_first_update_whatever_the_decay():
    descent = optax.sgd(1.0)
    averaged = Trainable.create({"w": jnp.asarray(10.0)}, descent, 0.99)
    averaged, _ = fit(jax.random.key(0), averaged, lambda p, key: (p["w"], {}), descent, batches=1, ema_decay=0.99)
    np.testing.assert_allclose(averaged.weights["w"], 9, rtol=1e-6)
