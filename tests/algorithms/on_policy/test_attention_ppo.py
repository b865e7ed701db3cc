"""Attention-PPO's networks, against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.algorithms.on_policy.attention_ppo import AttentionPPO, Both
from mag.algorithms.on_policy.config import AttentionNetworksConfig
from tests.support import reference
from tests.support.small import SPEC, filled, float64, random_batch

STEP = jax.tree.map(lambda x: x[0, 0], random_batch(0, [[0]]))


@pytest.mark.parametrize("communicate", [True, False])
def test_attention_then_recurrence_then_head(communicate):
    config = AttentionNetworksConfig(hidden=8, heads=2, communicate=communicate)
    network = filled(lambda key: AttentionPPO(key, SPEC, config))
    rng = np.random.default_rng(0)
    carry = Both(*jnp.asarray(rng.normal(size=(2, 3, 8)), jnp.float32))
    after = network.recur(carry, network.encode(STEP), STEP)
    logits, value = network.heads(None, after, STEP)
    for net, before, now, out in (
        (float64(network.actor), carry.actor, after.actor, logits),
        (float64(network.critic), carry.critic, after.critic, value[:, None]),
    ):
        x = [reference.relu(np, obs @ net.embed.weight + net.embed.bias) for obs in np.asarray(STEP.obs, float)]
        together = communicate or out is not logits
        mixed = attended(net.attention, x, together)
        expected = [
            reference.gru(np, net.recurrence, reference.relu(np, m), h)
            for m, h in zip(mixed, np.asarray(before, float), strict=True)
        ]
        np.testing.assert_allclose(now, expected, rtol=1e-3, atol=1e-4)
        heads = [reference.mlp(np, net.head, h, reference.relu) for h in expected]
        np.testing.assert_allclose(out, heads, rtol=1e-3, atol=1e-3)


def attended(attention, x, together):
    """Attention over all agents, or each agent's over itself."""
    if together:
        return reference.attention(np, attention, x, 2)
    alone = [[each + reference.agent_code(i, len(each))] for i, each in enumerate(x)]
    for layer in attention.layers:
        alone = [reference.transformer_layer(np, layer, each, 2) for each in alone]
    return [each[0] for each in alone]


def test_the_policy_starts_near_uniform_and_the_value_does_not_start_near_zero():
    config = AttentionNetworksConfig(hidden=8, heads=2)
    network = jax.jit(lambda key: AttentionPPO(key, SPEC, config))(jax.random.key(0))
    actor, critic = (np.asarray(net.head.layers[-1].weight) for net in (network.actor, network.critic))
    # Orthogonal columns, of length 0.01 and 1.
    np.testing.assert_allclose(actor.T @ actor, 1e-4 * np.eye(SPEC.n_actions), atol=1e-9)
    np.testing.assert_allclose(critic.T @ critic, [[1.0]], rtol=1e-5)
