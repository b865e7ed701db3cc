"""Draws in stages: later variables know the earlier ones, of all agents."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.algorithms.mag.config import NetworksConfig
from mag.algorithms.mag.local_models import one_step_predictions
from mag.algorithms.mag.stages import Stages
from mag.learning.networks import Linear
from tests.support.small import NETWORKS, random_batch, random_state, small_models

KEY = jax.random.key(0)
TWO = dataclasses.replace(NETWORKS, stages=2)


def copying():
    """Two stages of one variable with two classes: the first is a fair coin, the second copies the others' first.

    The hidden layer holds how often the other agents have drawn each side; the second variable's logits are 10 times
    as much.
    """
    config = NetworksConfig(hidden=2, categoricals=2, classes=2, stages=2)
    stages = Stages(KEY, config)
    sides = jnp.zeros((4, 2)).at[:2].set(jnp.eye(2))
    stages = eqx.tree_at(lambda s: (s.given_own, s.given_others), stages, (jnp.zeros((4, 2)), sides))
    output = eqx.tree_at(
        lambda layer: (layer.weight, layer.bias),
        Linear(KEY, 2, 4),
        (jnp.zeros((2, 4)).at[:, 2:].set(10 * jnp.eye(2)), jnp.zeros(4)),
    )
    return stages, output


def test_logits_of_a_group_are_those_given_the_groups_before():
    stages, output = copying()
    logits = stages.logits(output, jnp.zeros((3, 2)), jnp.array([[0, 1], [1, 0], [1, 1]]))
    # The first variable knows nothing. Of the others of agents 0, 1, 2 on side 0 there are 0, 1, 1, on side 1 there are
    # 2, 1, 1.
    np.testing.assert_allclose(logits[:, 0], 0)
    np.testing.assert_allclose(logits[:, 1], [[0, 20], [10, 10], [10, 10]])


def test_draws_fit_together():
    stages, output = copying()
    draw = jax.jit(jax.vmap(lambda key: stages.draw(key, output, jnp.zeros((2, 2)))))
    drawn = np.asarray(draw(jax.random.split(KEY, 400)))
    # Each copies the other's coin, wrongly in e^-10 of the draws; the coins are fair and independent.
    assert (drawn[:, 0, 1] == drawn[:, 1, 0]).all() and (drawn[:, 1, 1] == drawn[:, 0, 0]).all()
    both = drawn[:, 0, 0] + 2 * drawn[:, 1, 0]
    assert np.bincount(both, minlength=4) / 400 == pytest.approx(np.full(4, 0.25), abs=0.07)


def test_predictions_are_drawn_from_the_logits_that_are_learned():
    models = small_models(networks=TWO)
    models = eqx.tree_at(lambda m: m.prior.layers[-1].weight, models, replace_fn=lambda x: 1000 * x)  # sharp
    after = jax.jit(lambda *inputs: models.predict(*inputs))(KEY, random_state(0), jnp.array([3, 0, 1]))
    logits = models.prior_logits(models.prior_hidden(after.deter), after.stoch)
    np.testing.assert_array_equal(after.stoch, logits.argmax(-1))
    alone = models.prior_logits(models.prior_hidden(after.deter), 0 * after.stoch)
    np.testing.assert_array_equal(logits[:, 0], alone[:, 0])
    assert np.abs(np.asarray(logits[:, 1] - alone[:, 1])).max() > 1


def test_stages_that_know_nothing_are_independent_draws():
    models = small_models(networks=TWO)
    deaf = eqx.tree_at(lambda m: (m.stages.given_own, m.stages.given_others), models, replace_fn=jnp.zeros_like)
    plain = eqx.tree_at(lambda m: m.stages, deaf, None)
    hidden, drawn = models.prior_hidden(random_state(1).deter), random_state(1).stoch
    np.testing.assert_allclose(deaf.prior_logits(hidden, drawn), plain.prior_logits(hidden, drawn), rtol=1e-5)


def test_the_loss_teaches_what_earlier_groups_say():
    models, batch = small_models(networks=TWO), random_batch(3, [[0, 0, 0]])
    gradient = jax.jit(jax.grad(lambda models: models.loss(KEY, batch)[0]))(models)
    for table in (gradient.stages.given_own, gradient.stages.given_others):
        # Only what the first group says: nothing follows the second.
        first, second = np.abs(table[: NETWORKS.classes]), np.abs(table[NETWORKS.classes :])
        assert first.max() > 1e-4 and not second.any()


def test_the_model_reward_sees_draws_in_stages():
    models = small_models(networks=TWO)
    models = eqx.tree_at(lambda m: m.prior.layers[-1].weight, models, replace_fn=lambda x: 1000 * x)
    sequence = jax.tree.map(lambda x: x[0], random_batch(3, [[0, 0, 0, 0]]))
    prior = jax.jit(lambda: one_step_predictions(models, KEY, sequence, training=False))().prior
    logits = models.prior_logits(jax.vmap(models.prior_hidden)(prior.deter), prior.stoch)
    np.testing.assert_array_equal(prior.stoch, logits.argmax(-1))
