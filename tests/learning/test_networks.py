"""The layers against numbers computed by hand and a second, naive implementation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.algorithms.mag.local_models import FeatureMLP, ModelState
from mag.learning.distributions import Draw
from mag.learning.networks import (
    MLP,
    AgentAttention,
    GRUCell,
    LayerNorm,
    Linear,
    SplitLinear,
    TransformerLayer,
    agent_code,
    dropout,
    look_up,
)
from tests.support import reference
from tests.support.small import filled, float64

KEY = jax.random.key(0)


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@jax.jit
def call(function, *args):
    """`function(*args)`, compiled as one."""
    return function(*args)


def test_linear_starts_as_torch_does_with_xavier_weights():
    layer = Linear(KEY, 300, 200)
    # Xavier uniform: within sqrt(6 / (300 + 200)) = 0.1095; torch's bias: within 1 / sqrt(300) = 0.0577.
    assert 0.105 < jnp.abs(layer.weight).max() < 0.10955
    assert 0.050 < jnp.abs(layer.bias).max() < 0.0578
    assert abs(layer.weight.mean()) < 0.002


def test_orthogonal_weights_are():
    weight = Linear(KEY, 12, 5, "orthogonal").weight
    np.testing.assert_allclose(weight.T @ weight, np.eye(5), atol=1e-5)


@pytest.mark.parametrize(("activation", "function"), [("relu", reference.relu), ("elu", reference.elu)])
def test_mlp_activates_between_layers_only(activation, function):
    net = filled(lambda key: MLP(key, (3, 5, 4, 2), activation))
    x = normal(0, 6, 3)
    expected = [reference.mlp(np, float64(net), np.asarray(row), function) for row in x]
    np.testing.assert_allclose(call(net, x), expected, rtol=1e-5, atol=1e-6)


def test_split_linear_is_a_product_with_the_concatenated_one_hots():
    layer = filled(lambda key: SplitLinear(key, 3 * 4, 5, 6))
    classes, other = jnp.array([[0, 3, 1], [2, 2, 0]]), normal(0, 2, 5)
    x = np.concatenate([np.eye(4)[np.asarray(classes)].reshape(2, 12), np.asarray(other)], 1)
    expected = reference.concat_linear(np, float64(layer), x)
    np.testing.assert_allclose(call(layer, classes, other), expected, rtol=1e-5, atol=1e-6)


def test_split_linear_starts_as_one_layer():
    layer = SplitLinear(KEY, 290, 10, 200)
    bound = np.sqrt(6 / (290 + 10 + 200))
    assert jnp.abs(layer.left).max() < bound and jnp.abs(layer.right).max() < bound
    assert jnp.abs(layer.right).max() > 0.95 * bound


def test_look_up_equals_the_one_hot_product_in_value_and_gradient():
    table, weights = normal(0, 5 * 3, 4), normal(1, 2, 4)
    classes = jnp.array([[0, 1, 2, 2, 0], [1, 1, 1, 0, 2]], jnp.int32)
    one_hot = np.eye(3, dtype=np.float32)[np.asarray(classes)].reshape(2, 15)

    def by_look_up(table):
        return (weights * look_up(table, classes) ** 2).sum()

    def by_product(table):
        return (weights * (one_hot @ table) ** 2).sum()

    np.testing.assert_allclose(jax.jit(look_up)(table, classes), one_hot @ table, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        jax.jit(jax.grad(by_look_up))(table), jax.jit(jax.grad(by_product))(table), rtol=1e-5, atol=1e-6
    )


def test_straight_through_gradient_is_that_of_the_probabilities():
    layer, other = filled(lambda key: SplitLinear(key, 3 * 4, 5, 6)), normal(0, 2, 5)
    logits, weights = normal(1, 2, 3, 4), normal(2, 2, 6)
    classes = jnp.array([[0, 3, 1], [2, 2, 0]], jnp.int32)

    def ours(layer, logits, other):
        return (weights * layer(Draw(classes, jax.nn.softmax(logits)), other) ** 2).sum()

    def with_one_hots(layer, logits, other):
        p = jax.nn.softmax(logits)
        stoch = jax.nn.one_hot(classes, 4) + p - jax.lax.stop_gradient(p)
        x = jnp.concatenate([stoch.reshape(2, 12), other], 1)
        return (weights * reference.concat_linear(jnp, layer, x) ** 2).sum()

    value, gradients = jax.jit(jax.value_and_grad(ours, (0, 1, 2)))(layer, logits, other)
    expected_value, expected = jax.jit(jax.value_and_grad(with_one_hots, (0, 1, 2)))(layer, logits, other)
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), gradients, expected)
    assert all(np.abs(x).max() > 0 for x in jax.tree.leaves(gradients))


def test_straight_through_adds_nothing_to_the_value():
    layer = filled(lambda key: SplitLinear(key, 3 * 4, 5, 6))
    classes = jnp.array([[0, 3, 1], [2, 2, 0]], jnp.int32)
    draw = Draw(classes, normal(1, 2, 3, 4))
    embed = jax.jit(lambda stoch: layer.embed(stoch))
    np.testing.assert_array_equal(embed(draw), embed(classes))


@pytest.mark.parametrize(("activation", "function"), [("relu", reference.relu), ("elu", reference.elu)])
def test_feature_mlp_reads_the_latent_first(activation, function):
    net = filled(lambda key: FeatureMLP(key, 3 * 4, 5, (7, 6, 2), activation))
    classes, deter = jnp.array([[0, 3, 1], [2, 2, 0]], jnp.int32), normal(0, 2, 5)
    features = np.concatenate([np.eye(4)[np.asarray(classes)].reshape(2, 12), np.asarray(deter)], 1)
    expected = [reference.feature_mlp(np, float64(net), x, function) for x in features]
    np.testing.assert_allclose(call(net, ModelState(classes, deter)), expected, rtol=1e-5, atol=1e-6)


def test_gru_by_hand():
    cell = filled(lambda key: GRUCell(key, 1, 1))
    # Input and hidden weights and biases of the gates reset, update, new.
    numbers = ([[1.0, -1.0, 2.0]], [0.0, 0.5, 0.25], [[0.5, 1.0, -1.0]], [1.0, 0.0, 0.75])
    cell = eqx.tree_at(
        lambda c: (c.inputs.weight, c.inputs.bias, c.hidden.weight, c.hidden.bias),
        cell,
        tuple(jnp.array(x) for x in numbers),
    )
    # x = 1, h = 2. reset = sigmoid(1 + 0 + 1 + 1) = 0.952574, update = sigmoid(-1 + 0.5 + 2 + 0) = 0.817574;
    # the reset acts after the hidden matrix and its bias: new = tanh(2 + 0.25 + 0.952574 * (-2 + 0.75))
    # = tanh(1.059282) = 0.785389; h' = 0.182426 * 0.785389 + 0.817574 * 2 = 1.778424.
    # (Reset before the matrix would give tanh(2.25 - 2 * 0.952574 + 0.75) = tanh(1.094852), h' = 1.780842.)
    np.testing.assert_allclose(call(cell, jnp.array([1.0]), jnp.array([2.0])), [1.778424], atol=2e-6)


def test_gru_against_the_formula():
    cell = filled(lambda key: GRUCell(key, 4, 3))
    x, h = normal(0, 5, 4), normal(1, 5, 3)
    expected = [reference.gru(np, float64(cell), a, b) for a, b in zip(np.asarray(x), np.asarray(h), strict=True)]
    np.testing.assert_allclose(call(cell, x, h), expected, rtol=1e-5, atol=1e-6)


def test_layer_norm_by_hand():
    # Mean 2, variance 2 / 3; (1 - 2) / sqrt(0.666667 + 0.00001) = -1.224736.
    np.testing.assert_allclose(call(LayerNorm(3), jnp.array([1.0, 2.0, 3.0])), [-1.224736, 0, 1.224736], atol=1e-6)


@pytest.mark.parametrize(("agents", "heads"), [(1, 8), (3, 8), (5, 2)])
def test_transformer_layer_against_loops(agents, heads):
    layer = filled(lambda key: TransformerLayer(key, 16, heads))
    x = normal(0, agents, 16)
    expected = reference.transformer_layer(np, float64(layer), list(np.asarray(x)), heads)
    np.testing.assert_allclose(call(layer, x), expected, rtol=1e-4, atol=1e-5)


def test_attention_adds_the_agents_code_once_before_all_layers():
    net = filled(lambda key: AgentAttention(key, 16, heads=4, layers=3))
    x = normal(0, 3, 16)
    expected = reference.attention(np, float64(net), list(np.asarray(x)), 4)
    np.testing.assert_allclose(call(net, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("heard", [[[1, 1, 0], [1, 1, 0], [1, 1, 1]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]])
def test_attention_hears_those_named_alone(heard):
    net = filled(lambda key: AgentAttention(key, 16, heads=4, layers=1))
    x, heard = normal(0, 3, 16), np.array(heard, bool)
    found = jax.jit(lambda x: net(x, heard=jnp.asarray(heard)))(x)
    coded = [row + reference.agent_code(i, 16) for i, row in enumerate(np.asarray(x))]
    for i, row in enumerate(heard):
        # Alone with those it hears, in their order, agent i is the number of those before it.
        those = [coded[j] for j in np.flatnonzero(row)]
        expected = reference.transformer_layer(np, float64(net.layers[0]), those, 4)[row[:i].sum()]
        np.testing.assert_allclose(found[i], expected, rtol=1e-4, atol=1e-5)


def test_attention_tells_agents_apart_and_mixes_them():
    net = filled(lambda key: AgentAttention(key, 16, heads=4, layers=1))
    same = np.tile(normal(0, 16), (3, 1))
    changed = same + np.array([0, 0, 1], np.float32)[:, None]
    same, changed = call(net, jnp.asarray(same)), call(net, jnp.asarray(changed))
    assert not np.allclose(same[0], same[1])
    assert not np.allclose(changed[0], same[0])


@pytest.mark.parametrize("size", [16, 256])
def test_agent_code_is_the_sinusoid_of_the_index(size):
    expected = [reference.agent_code(agent, size) for agent in range(7)]
    np.testing.assert_allclose(agent_code(7, size), expected, atol=1e-6)
    # Agent 0 has sin 0, cos 0 in turn; agent 1 starts with sin 1 = 0.841471, cos 1 = 0.540302.
    np.testing.assert_array_equal(agent_code(7, size)[0], [0, 1] * (size // 2))
    np.testing.assert_allclose(agent_code(7, size)[1, :2], [0.841471, 0.540302], atol=1e-6)


def test_dropout_zeroes_at_its_rate_and_keeps_the_mean():
    x = jnp.ones((100, 100))
    dropped = dropout(KEY, 0.1, x)
    # 10 000 draws at 0.1: standard deviation 0.003.
    assert abs((dropped == 0).mean() - 0.1) < 0.015
    np.testing.assert_allclose(dropped[dropped != 0], 1 / 0.9, rtol=1e-6)
    assert (dropout(None, 0.1, x) == x).all() and (dropout(KEY, 0.0, x) == x).all()


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 3, 1)])
def test_dropout_takes_any_shape_and_rate(shape):
    x, keys = jnp.ones((200, *shape)), jax.random.split(KEY, 200)
    dropped = jax.vmap(lambda key, x: dropout(key, 0.5, x))(keys, x)
    assert dropped.shape == x.shape and set(np.unique(dropped)) == {0.0, 2.0}
    assert (dropout(KEY, 1 - 1e-6, x) == 0).all()


def test_attention_drops_out_with_a_key_only():
    net = filled(lambda key: AgentAttention(key, 16, heads=4, layers=2))
    x = normal(0, 3, 16)
    drop = jax.jit(lambda key, rate: net(x, key=key, rate=rate), static_argnames="rate")
    assert not np.allclose(drop(jax.random.key(1), rate=0.5), drop(jax.random.key(2), rate=0.5))
    np.testing.assert_array_equal(drop(KEY, rate=0.0), drop(None, rate=0.5))
