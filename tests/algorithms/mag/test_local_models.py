"""The local models' states, errors and gradients against naive loops over batch, time, agents and variables."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import xlogy

from mag.algorithms.mag.local_models import (
    Errors,
    LocalModels,
    ModelState,
    Predictions,
    observe_sequence,
    one_step_predictions,
)
from mag.learning import distributions
from mag.types import Arrival
from tests.support import reference
from tests.support.small import NETWORKS, SPEC, float64, random_batch, small_models

KEY = jax.random.key(0)
CONFIG = {
    "kl_balance": 0.8,
    "reward_scale": 3.0,
    "reward_threshold": 0.4,
    "reward_weight": 5.0,
    "reconstruction_weight": 2.5,
    "kl_weight": 1.7,
}
MODELS = small_models(**CONFIG)
BATCH = random_batch(0, [[0, 0, 1, 0], [1, 0, 0, 1]])
"""One sequence cut from the middle of an episode, one that starts and ends with the start of an episode."""


class Trained(NamedTuple):
    """Loss, metrics, gradient and predictions of one gradient step on BATCH."""

    loss: jax.Array
    metrics: dict
    gradient: LocalModels
    predictions: Predictions


@jax.jit
def train_once(models, key, batch):
    def loss(models):
        return models.loss(key, batch)

    (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(models)
    keys = jax.random.split(key, batch.first.shape[0])
    predictions = jax.vmap(lambda k, s: one_step_predictions(models, k, s, training=True))(keys, batch)
    return Trained(value, metrics, gradient, predictions)


@pytest.fixture(scope="module")
def trained():
    return jax.tree.map(np.asarray, train_once(MODELS, KEY, BATCH))


@pytest.fixture(scope="module")
def naive(trained):
    """Errors, recurrent states and logits of each sequence of BATCH, by loops."""
    return [
        reference.sequence_errors(np, float64(MODELS), sequence, classes)
        for sequence, classes in zip(sequences(), drawn(trained), strict=True)
    ]


def sequences(batch=BATCH):
    """The sequences of a batch, in double precision."""
    return [Arrival(*(None if x is None else x[i] for x in float64(batch))) for i in range(len(batch.first))]


def drawn(trained):
    return trained.predictions.posterior.stoch.classes


def sharp(models):
    """The models with nearly deterministic draws: logits a thousand times as large."""
    return eqx.tree_at(
        lambda m: (m.posterior_output.weight, m.prior.layers[-1].weight),
        models,
        replace_fn=lambda x: 1000 * x,
    )


def test_each_error_equals_a_loop(trained, naive):
    for name in Errors._fields:
        ours = getattr(trained.predictions.errors, name)
        for i, (errors, *_) in enumerate(naive):
            # Where the arriving transition is not known its errors mean nothing.
            times = (
                reference.known(sequences()[i])
                if name in ("reward", "continuation", "action_information")
                else range(4)
            )
            for t in times:
                np.testing.assert_allclose(ours[i, t], errors[name][t], rtol=1e-4, atol=1e-5, err_msg=f"{name} {i} {t}")


def test_each_loss_term_is_the_mean_over_its_agent_steps(trained):
    terms = reference.loss_terms(np, float64(MODELS), sequences(), drawn(trained))
    for name, value in terms.items():
        np.testing.assert_allclose(trained.metrics[f"models/{name}"], value, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(trained.loss, reference.loss_of(terms, MODELS.config), rtol=1e-4)
    np.testing.assert_allclose(trained.metrics["models/loss"], trained.loss)


def test_memories_follow_the_recurrence_and_restart_with_an_episode(trained, naive):
    expected = np.array([memory for _, memory, *_ in naive])
    np.testing.assert_allclose(trained.predictions.posterior.deter, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(trained.predictions.prior.deter, trained.predictions.posterior.deter)


def test_known_are_the_transitions_inside_a_sequence(trained):
    np.testing.assert_array_equal(trained.predictions.known, [[0, 1, 0, 1], [0, 1, 1, 0]])


@pytest.mark.slow
def test_gradient_equals_that_of_the_loops():
    spec = dataclasses.replace(SPEC, n_agents=2)
    networks = dataclasses.replace(NETWORKS, hidden=8, deterministic=3, classes=3, heads=1)
    models = small_models(seed=1, spec=spec, networks=networks, **CONFIG)
    batch = jax.tree.map(lambda x: x[..., :2, :] if x.ndim == 4 else x, random_batch(3, [[0, 0, 0]]))
    batch = batch._replace(previous_action=batch.previous_action[..., :2])
    trained = train_once(models, KEY, batch)
    classes, rows = np.asarray(drawn(trained)), sequences(batch)

    def loss(models):
        return reference.loss_of(reference.loss_terms(jnp, models, rows, classes), models.config)

    value, expected = jax.jit(jax.value_and_grad(loss))(models)
    np.testing.assert_allclose(trained.loss, value, rtol=1e-4)
    paths = jax.tree_util.tree_leaves_with_path(expected)
    for (path, theirs), ours in zip(paths, jax.tree.leaves(trained.gradient), strict=True):
        name, scale = jax.tree_util.keystr(path), np.abs(theirs).max()
        assert scale > 0, f"nothing reaches {name}"
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-4 * scale, err_msg=name)


def test_draws_come_from_their_own_logits():
    states = jax.jit(lambda k, s: one_step_predictions(sharp(MODELS), k, s, training=False))(
        KEY, jax.tree.map(lambda x: x[0], BATCH)
    )
    posterior = np.asarray(states.posterior.stoch)
    _, _, posteriors, priors = reference.sequence_errors(np, float64(sharp(MODELS)), sequences()[0], posterior)
    np.testing.assert_array_equal(posterior, np.argmax(posteriors, -1))
    np.testing.assert_array_equal(states.prior.stoch, np.argmax(priors, -1))
    assert (posterior != np.asarray(states.prior.stoch)).any()


def test_acting_sees_the_same_states_as_training():
    models, sequence = sharp(MODELS), jax.tree.map(lambda x: x[1, :3], BATCH)
    assert sequence.first.tolist() == [True, False, False]
    states = jax.jit(lambda k, s: models.observe_sequence(k, s))(KEY, sequence)
    observe = jax.jit(lambda *inputs: models.observe(*inputs))
    garbage = ModelState(jnp.ones((3, 2), jnp.int32), jnp.full((3, 6), 9.0))
    state = garbage
    for t in range(3):
        state = observe(KEY, state, jax.tree.map(lambda x, t=t: x[t], sequence))
        np.testing.assert_array_equal(state.stoch, states.stoch[t])
        np.testing.assert_allclose(state.deter, states.deter[t], rtol=1e-5, atol=1e-6)


def test_predict_draws_from_the_prior_after_the_action():
    models, state = sharp(MODELS), ModelState(jnp.array([[1, 4], [0, 6], [2, 2]], jnp.int32), jnp.full((3, 6), 0.3))
    action = jnp.array([3, 0, 1], jnp.int32)
    after = jax.jit(lambda *inputs: models.predict(*inputs))(KEY, state, action)
    net, eye = float64(models), np.eye(NETWORKS.classes)
    inputs = []
    for i in range(3):
        x = np.concatenate([*eye[np.asarray(state.stoch[i])], np.eye(4)[int(action[i])]])
        inputs.append(reference.relu(np, reference.concat_linear(np, net.recurrent_input, x)))
    mixed = reference.attention(np, net.attention, inputs, NETWORKS.heads)
    deter = [reference.gru(np, net.recurrence, x, np.full(6, 0.3, np.float32)) for x in mixed]
    logits = [reference.mlp(np, net.prior, d, reference.relu).reshape(2, 7) for d in deter]
    np.testing.assert_allclose(after.deter, deter, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(after.stoch, np.argmax(logits, -1))


def test_an_environment_without_masks_learns_none():
    spec = dataclasses.replace(SPEC, has_masks=False)
    models = small_models(spec=spec)
    assert models.available_head is None
    shapes = jax.eval_shape(
        lambda m: one_step_predictions(m, KEY, jax.tree.map(lambda x: x[0], BATCH), training=True),
        models,
    )
    assert shapes.errors.available_actions.shape == (4, 3)


@pytest.mark.slow
def test_dropout_is_on_in_training_only():
    dropping = dataclasses.replace(NETWORKS, dropout=0.5)
    models = small_models(networks=dropping)
    sequence = jax.tree.map(lambda x: x[0], BATCH)

    def memory(models, training):
        function = jax.jit(lambda k: observe_sequence(models, k, sequence, training=training)[1].deter[0])
        return np.asarray(function(jax.random.key(1))), np.asarray(function(jax.random.key(2)))

    on, off = memory(models, True), memory(models, False)
    assert not np.allclose(on[0], on[1])
    np.testing.assert_array_equal(off[0], off[1])


def test_bins_of_rewards_are_learned_and_read_as_their_mean():
    models = small_models(**CONFIG | {"reward_bins": 9})
    predictions = jax.vmap(lambda key, each: one_step_predictions(models, key, each, training=False))(
        jax.random.split(KEY, 2), BATCH
    )
    before = jax.tree.map(lambda x: jnp.roll(x, 1, axis=1), predictions.posterior.stoch)
    outputs = jax.vmap(jax.vmap(models.reward))(ModelState(before, predictions.posterior.deter))
    logs = np.asarray(jax.nn.log_softmax(outputs), np.float64)
    centres = np.asarray(distributions.bin_centres(9), np.float64)
    target = CONFIG["reward_scale"] * np.asarray(BATCH.reward)
    shares = np.stack([np.interp(target, centres, row) for row in np.eye(9)], -1)  # hats around the centres
    divergence = (xlogy(shares, shares)[:, :, None] - shares[:, :, None] * logs).sum(-1)
    np.testing.assert_allclose(predictions.errors.reward, divergence, rtol=1e-4, atol=1e-6)
    state = jax.tree.map(lambda x: x[0, 0], predictions.posterior)
    following = jax.tree.map(lambda x: x[0, 1], predictions.posterior)
    mean = np.exp(logs[0, 1]) @ centres
    np.testing.assert_allclose(models.outcome(state, following).reward, mean, rtol=1e-4)
