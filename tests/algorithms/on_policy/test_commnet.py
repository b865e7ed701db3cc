"""CommNet's messages, against loops."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.algorithms.on_policy.commnet import CommNet, mean_of_others
from mag.algorithms.on_policy.config import CommNetNetworksConfig
from mag.learning.networks import LSTMState
from tests.support.small import SPEC, filled, float64, random_batch

NETWORKS = CommNetNetworksConfig(hidden=4, rounds=2)
NETWORK = filled(lambda key: CommNet(key, SPEC, NETWORKS))


def test_the_mean_is_of_the_others_that_live():
    x = jnp.array([[1.0], [2.0], [6.0], [100.0]])
    alive = jnp.array([True, True, True, False])
    # (2 + 6) / 2, (1 + 6) / 2, (1 + 2) / 2; the dead hear all three.
    np.testing.assert_allclose(mean_of_others(x, alive)[:, 0], [4, 3.5, 1.5, 3])
    alone = jnp.array([False, True, False, False])
    np.testing.assert_allclose(mean_of_others(x, alone)[:, 0], [2, 0, 2, 2])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(cell, x, hidden, memory):
    """One agent's LSTM: input, forget, cell and output gates."""
    gates = x @ cell.inputs.weight + cell.inputs.bias + hidden @ cell.hidden.weight + cell.hidden.bias
    i, f, g, o = np.split(gates, 4)
    memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(memory), memory


@pytest.mark.parametrize("communicate", [True, False])
def test_rounds_of_messages_against_a_loop(communicate):
    network = filled(lambda key: CommNet(key, SPEC, dataclasses.replace(NETWORKS, communicate=communicate)))
    net = float64(network)
    step = jax.tree.map(lambda x: x[0, 0], random_batch(0, [[0]]))._replace(alive=jnp.array([True, False, True]))
    rng = np.random.default_rng(0)
    hidden, memory = rng.normal(size=(2, 3, 4))
    found = network.recur(
        LSTMState(jnp.asarray(hidden, jnp.float32), jnp.asarray(memory, jnp.float32)), network.encode(step), step
    )
    encoded = np.asarray(step.obs) @ net.encoder.weight + net.encoder.bias
    for _ in range(2):
        heard = [hidden[2], (hidden[0] + hidden[2]) / 2, hidden[0]]
        said = [communicate * (each @ net.message.weight + net.message.bias) for each in heard]
        new = [lstm(net.recurrence, encoded[i] + said[i], hidden[i], memory[i]) for i in range(3)]
        hidden, memory = np.array([h for h, _ in new]), np.array([c for _, c in new])
    np.testing.assert_allclose(found.hidden, hidden, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.cell, memory, rtol=1e-4, atol=1e-5)
    logits, value = network.heads(None, found, step)
    np.testing.assert_allclose(logits, hidden @ net.policy.weight + net.policy.bias, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(value, (hidden @ net.value.weight + net.value.bias)[:, 0], rtol=1e-4, atol=1e-4)
