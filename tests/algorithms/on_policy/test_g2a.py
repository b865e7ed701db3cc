"""G2A's two attentions, against loops."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.algorithms.on_policy.config import G2ANetworksConfig
from mag.algorithms.on_policy.g2a import G2A, gumbel_gate
from mag.envs import others_of
from tests.algorithms.on_policy.test_commnet import lstm
from tests.support.small import SPEC, filled, float64, random_batch

NETWORKS = G2ANetworksConfig(hidden=4, gate_hidden=3, attention=5, critic_hidden=6)
NETWORK = filled(lambda key: G2A(key, SPEC, NETWORKS))
STEP = jax.tree.map(lambda x: x[0, 0], random_batch(0, [[0]]))
H = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)


def test_gates_are_zero_or_one_and_pass_the_gradient_of_their_chance():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(2000, 2)), jnp.float32)
    key = jax.random.key(0)
    gates = gumbel_gate(key, logits)
    assert set(np.unique(gates)) == {0, 1}
    # Gates open with the softmax's chance; the standard error of the mean of 2000 is at most 0.011.
    np.testing.assert_allclose(gates.mean(), jax.nn.softmax(logits)[:, 1].mean(), atol=0.04)
    gradient = jax.grad(lambda x: gumbel_gate(key, x).sum())(logits)
    noisy = jax.nn.softmax(logits + jax.random.gumbel(key, logits.shape))
    slope = noisy[:, 0] * noisy[:, 1]
    np.testing.assert_allclose(gradient, jnp.stack([-slope, slope], -1), rtol=1e-4, atol=1e-6)


def test_without_a_key_the_likelier_gate_is_taken():
    np.testing.assert_array_equal(gumbel_gate(None, jnp.array([[0.1, 0.0], [-2.0, -1.0]])), [0, 1])


def test_others_are_all_but_oneself():
    np.testing.assert_array_equal(others_of(3), [[1, 2], [0, 2], [0, 1]])


def gate_logits(net, h, i, alive=(1, 1, 1)):
    """Scores of the gates of agent i, whose pairs with living agents are read one by one."""
    pairs = [(alive[j], np.concatenate([h[i], h[j]])) for j in range(3) if j != i]
    forward, backward = [], []
    for cell, order, read in ((net.forward, pairs, forward), (net.backward, pairs[::-1], backward)):
        hidden, memory = np.zeros(3), np.zeros(3)
        for lives, pair in order:
            hidden, memory = lstm(cell, pair, hidden, memory) if lives else (hidden, memory)
            read.append(hidden)
    both = [np.concatenate(each) for each in zip(forward, backward[::-1], strict=True)]
    return np.array([x @ net.score.weight + net.score.bias for x in both])


def heard(net, h, alive, i):
    """The messages that agent i hears with the likelier gates."""
    others = [j for j in range(3) if j != i]
    gates = gate_logits(net.hard, h, i, alive).argmax(-1)
    query, keys, values = (
        x @ layer.weight + layer.bias for x, layer in ((h[i], net.query), (h, net.key), (h, net.value))
    )
    weights = [alive[j] * np.exp(query @ keys[j] / np.sqrt(5)) for j in others]
    total = sum(weights) or 1.0
    said = [w / total * g * np.maximum(values[j], 0) for w, g, j in zip(weights, gates, others, strict=True)]
    return sum(said)


@pytest.mark.parametrize("alive", [(1, 1, 1), (1, 0, 1), (0, 0, 1)])
def test_messages_and_heads_against_a_loop(alive):
    net = float64(NETWORK)
    step = STEP._replace(alive=jnp.asarray(alive, bool))
    logits, value = NETWORK.heads(None, H, step)
    expected = []
    for i in range(3):
        x = np.concatenate([np.asarray(H, float)[i], heard(net, np.asarray(H, float), alive, i)])
        expected.append(x @ net.head.weight + net.head.bias)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    assert len(set(np.asarray(value).tolist())) == 1


def test_the_dead_are_silent():
    alive = jnp.array([True, False, True])
    key = jax.random.key(0)
    moved = jax.jacobian(lambda h: NETWORK.hear(key, h, alive)[jnp.array([0, 2])])(H)[:, :, 1]
    np.testing.assert_array_equal(moved, 0)


def test_gates_open_and_shut_over_the_draws():
    keys = jax.random.split(jax.random.key(0), 200)
    drawn = jax.vmap(lambda key: NETWORK.hard(key, H, jnp.ones(3, bool)))(keys)
    assert drawn.shape == (200, 3, 2) and set(np.unique(drawn)) == {0, 1}
    chance = [jax.nn.softmax(jnp.asarray(gate_logits(float64(NETWORK).hard, np.asarray(H), i)))[:, 1] for i in range(3)]
    # Standard error at most 0.036.
    np.testing.assert_allclose(drawn.mean(0), chance, atol=0.13)
    gradient = jax.grad(lambda net: net.heads(keys[0], H, STEP)[0].sum())(NETWORK)
    assert all(bool((jnp.abs(leaf) > 0).any()) for leaf in jax.tree.leaves(gradient.hard))


def test_last_action_and_index_are_read():
    first = STEP._replace(previous_action=jnp.full(3, -1, jnp.int32), obs=jnp.ones_like(STEP.obs))
    net = float64(NETWORK)
    own = np.asarray(first.obs, float) @ net.encoder.weight[:5] + net.encoder.weight[9:] + net.encoder.bias
    np.testing.assert_allclose(NETWORK.encode(first), np.maximum(own, 0), rtol=1e-5, atol=1e-6)
    later = first._replace(previous_action=jnp.array([2, 0, 3], jnp.int32))
    own += net.encoder.weight[5 + np.array([2, 0, 3])]
    np.testing.assert_allclose(NETWORK.encode(later), np.maximum(own, 0), rtol=1e-5, atol=1e-6)


def test_the_central_value_reads_the_state_where_there_is_one():
    spec = dataclasses.replace(SPEC, state_dim=7)
    network = filled(lambda key: G2A(key, spec, NETWORKS))
    state = jnp.arange(7.0)
    _, value = network.heads(None, H, STEP._replace(state=state))
    np.testing.assert_allclose(value, jnp.full(3, network.critic(state)[0]), rtol=1e-6)
