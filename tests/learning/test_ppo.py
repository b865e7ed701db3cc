"""The policy update against numbers computed by hand and loops."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mag.algorithms.mag.config import PPOConfig
from mag.algorithms.mag.policy import Actor, Critic
from mag.algorithms.mag.policy_update import (
    PolicyState,
    actor_loss,
    critic_loss,
    fit_policy,
    optimisers,
    policy_batch,
)
from mag.algorithms.mag.rollout import Rollout
from mag.learning import parallel
from mag.learning.optimise import Trainable
from mag.learning.ppo import clipped_loss, lambda_returns, normalised
from tests.support import reference
from tests.support.small import NETWORKS, SPEC, filled, float64, random_state, small_models

KEY = jax.random.key(0)
MODELS = small_models()
ACTOR = filled(lambda key: Actor(key, MODELS, SPEC.n_actions, NETWORKS))
CRITIC = filled(lambda key: Critic(key, MODELS, NETWORKS))
CONFIG = PPOConfig(epochs=2, minibatch=5, gamma=0.9, gae_lambda=0.8)
STARTS, LENGTH = 4, 3


def random_rollouts(seed):
    rng = np.random.default_rng(seed)
    shape = (STARTS, LENGTH, SPEC.n_agents)
    return Rollout(
        state=random_state(seed, STARTS, LENGTH),
        action=jnp.asarray(rng.integers(0, 4, shape), jnp.int32),
        avail=jnp.asarray(rng.random((*shape, 4)) < 0.5),
        log_prob=jnp.asarray(rng.uniform(-2, -0.5, shape), jnp.float32),
        reward=jnp.asarray(rng.normal(size=(*shape[:2], 1)), jnp.float32),
        continues=jnp.asarray(rng.random(shape), jnp.float32),
        alive=None,
        imagined=None,
        last=random_state(seed + 1, STARTS),
    )


def returns_of(reward, continues, value, gamma, gae_lambda):
    """One agent's lambda-returns by their recursion."""
    following, result = value[-1], []
    for t in reversed(range(len(reward))):
        following = reward[t] + gamma * continues[t] * ((1 - gae_lambda) * value[t + 1] + gae_lambda * following)
        result.insert(0, following)
    return result


def test_lambda_returns_by_hand():
    reward = jnp.ones(5)
    continues = jnp.array([[1.0], [1.0], [0.0], [1.0], [1.0]])
    value = jnp.array([[99.0], [2.0], [4.0], [6.0], [8.0], [16.0]])
    # gamma = lambda = 1/2; the value of the start is not read. Backwards from R_5 = v_5 = 16:
    # R_4 = 1 + (16 + 16) / 4 = 9
    # R_3 = 1 + (8 + 9) / 4 = 5.25
    # R_2 = 1, as the episode ends
    # R_1 = 1 + (4 + 1) / 4 = 2.25
    # R_0 = 1 + (2 + 2.25) / 4 = 2.0625
    returns = lambda_returns(reward, continues, value, gamma=0.5, gae_lambda=0.5)
    np.testing.assert_allclose(returns[:, 0], [2.0625, 2.25, 1, 5.25, 9])


compiled_returns = jax.jit(lambda_returns, static_argnames=("gamma", "gae_lambda"))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31 - 1), rates=st.sampled_from([(0.99, 0.95), (1.0, 1.0), (0.9, 0.0)]))
def test_lambda_returns_follow_the_recursion_agent_by_agent(seed, rates):
    rng = np.random.default_rng(seed)
    reward, continues, value = rng.normal(size=6), rng.random((6, 2)), rng.normal(size=(7, 2))
    ours = compiled_returns(
        *(jnp.asarray(x, jnp.float32) for x in (reward, continues, value)), gamma=rates[0], gae_lambda=rates[1]
    )
    for i in range(2):
        expected = returns_of(reward, continues[:, i], value[:, i], *rates)
        np.testing.assert_allclose(ours[:, i], expected, rtol=1e-4, atol=1e-5)


def test_clipped_loss_by_hand():
    ratio, advantage = jnp.array([1.5, 0.5, 1.5, 0.5, 1.1]), jnp.array([2.0, 2.0, -2.0, -2.0, 3.0])
    # Minus the smaller of 3 and 2.4, of 1 and 1.6, of -3 and -2.4, of -1 and -1.6; 3.3 is inside the clip.
    loss = clipped_loss(jnp.log(ratio), advantage, 0.2)
    np.testing.assert_allclose(loss, [-2.4, -1.0, 3.0, 1.6, -3.3], rtol=1e-6)
    # Clipped terms do not move the policy; the others move by -ratio * advantage.
    gradient = jax.jit(jax.grad(lambda x: clipped_loss(x, advantage, 0.2).sum()))(jnp.log(ratio))
    np.testing.assert_allclose(gradient, [0, -1.0, 3.0, 0, -3.3], rtol=1e-6)


@pytest.fixture(scope="module")
def batch():
    return jax.jit(lambda: policy_batch(CRITIC, random_rollouts(0), CONFIG))()


def test_returns_bootstrap_with_the_critic_and_advantages_are_normalised(batch):
    rollouts = random_rollouts(0)
    value = np.asarray(jax.jit(lambda r: jax.vmap(jax.vmap(CRITIC))(r.state))(rollouts))
    last = np.asarray(jax.jit(lambda r: jax.vmap(CRITIC)(r.last))(rollouts))
    returns = np.zeros((STARTS, LENGTH, SPEC.n_agents))
    for s in range(STARTS):
        for i in range(SPEC.n_agents):
            values = [*value[s, :, i], last[s, i]]
            returns[s, :, i] = returns_of(rollouts.reward[s, :, 0], rollouts.continues[s, :, i], values, 0.9, 0.8)
    advantage = returns - value
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-4)
    np.testing.assert_allclose(batch.returns, returns.reshape(-1, 3), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(batch.advantage, advantage.reshape(-1, 3), rtol=1e-3, atol=1e-4)


def test_workers_normalise_advantages_over_all_their_batches(batch):
    rollouts = jax.tree.map(lambda x: x[None], random_rollouts(0))

    def shared(rollouts):
        return policy_batch(CRITIC, rollouts, CONFIG, parallel.Workers(2))

    found = parallel.over_seeds(shared, 1, workers=2, divided=("rollouts",), divides=True)(rollouts)
    np.testing.assert_allclose(found.advantage[0], batch.advantage, rtol=1e-4, atol=1e-5)


def test_workers_with_unequal_weights_normalise_advantages_as_one():
    advantage = jnp.array([[[0.0, 2.0], [4.0, 4.0]]])
    weight = jnp.array([[[1.0, 1.0], [1.0, 0.0]]])

    def shared(advantage, weight):
        return normalised(advantage, weight, workers=parallel.Workers(2))

    found = parallel.over_seeds(shared, 1, workers=2, divided=("advantage", "weight"), divides=True)(advantage, weight)
    # The weighted mean is (0 + 2 + 4) / 3 = 2, the variance (4 + 0 + 4) / 3.
    expected = (np.array([[0, 2], [4, 4]]) - 2) / (np.sqrt(8 / 3) + 1e-4)
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(normalised(advantage[0], weight[0]), expected, rtol=1e-5, atol=1e-6)


def test_imagined_states_may_count_as_far_as_the_episode_goes_on():
    rollouts = random_rollouts(0)._replace(
        continues=jnp.broadcast_to(jnp.array([0.5, 0.2, 0.9])[:, None], (STARTS, LENGTH, SPEC.n_agents)),
        alive=jnp.broadcast_to(jnp.array([True, False, True]), (STARTS, LENGTH, SPEC.n_agents)),
    )
    config = dataclasses.replace(CONFIG, weigh_by_continuation=True)

    @jax.jit
    def once():
        weighed = policy_batch(CRITIC, rollouts, config)
        return weighed, jax.vmap(CRITIC)(weighed.state), critic_loss(CRITIC, weighed)[0]

    weighed, values, loss = jax.tree.map(np.asarray, once())
    # The first state is reached for sure, the second with 0.5, the third with 0.5 x 0.2; the second agent is dead.
    reached = np.tile(np.array([1, 0.5, 0.1])[:, None], (STARTS, SPEC.n_agents))
    np.testing.assert_allclose(weighed.critic_weight, reached, rtol=1e-6)
    np.testing.assert_allclose(weighed.actor_weight, reached * [1, 0, 1], rtol=1e-6)
    counted = (weighed.advantage * weighed.actor_weight).sum() / weighed.actor_weight.sum()
    np.testing.assert_allclose(counted, 0, atol=1e-5)
    squares = (values - weighed.returns) ** 2
    np.testing.assert_allclose(loss, (squares * reached).sum() / reached.sum() / 2, rtol=1e-5)


def test_joint_states_keep_their_actions(batch):
    rollouts = random_rollouts(0)
    for name in ("action", "avail", "log_prob"):
        flat = np.asarray(getattr(rollouts, name)).reshape(STARTS * LENGTH, *getattr(rollouts, name).shape[2:])
        np.testing.assert_array_equal(getattr(batch, name), flat)
    np.testing.assert_array_equal(batch.state.deter[LENGTH], rollouts.state.deter[1, 0])


def test_actor_loss_against_a_loop(batch):
    value, metrics = jax.jit(lambda: actor_loss(ACTOR, batch, jnp.asarray(0.5), 0.2))()
    surrogates, entropies = [], []
    for b in range(len(batch.action)):
        for i in range(SPEC.n_agents):
            x = np.concatenate([np.eye(7)[np.asarray(batch.state.stoch[b, i])].ravel(), batch.state.deter[b, i]])
            logits = reference.feature_mlp(np, float64(ACTOR.net), x, reference.relu)
            avail = np.asarray(batch.avail[b, i])
            # An action outside its mask, as this made-up batch has, keeps a logit of -1e10.
            logs = reference.log_softmax(np, np.where(avail | ~avail.any(), logits, -1e10))
            with np.errstate(over="ignore"):
                ratio = np.exp(logs[batch.action[b, i]] - float(batch.log_prob[b, i]))
            advantage = float(batch.advantage[b, i])
            surrogates.append(-min(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage))
            entropies.append(-(np.exp(logs) * logs).sum())
    np.testing.assert_allclose(value, np.mean(surrogates) - 0.5 * np.mean(entropies), rtol=1e-4)
    np.testing.assert_allclose(metrics["policy/entropy"], np.mean(entropies), rtol=1e-4)


def test_critic_loss_is_half_the_squared_error(batch):
    values = np.asarray(jax.jit(lambda: jax.vmap(CRITIC)(batch.state))())
    loss, _ = jax.jit(lambda: critic_loss(CRITIC, batch))()
    np.testing.assert_allclose(loss, np.mean((values - np.asarray(batch.returns)) ** 2) / 2, rtol=1e-5)


def test_weight_decay_pulls_the_actor_only():
    params, nothing = {"w": jnp.array([2.0, -3.0])}, {"w": jnp.zeros(2)}
    actor, critic = optimisers(dataclasses.replace(CONFIG, weight_decay=1e-5))
    updates, _ = actor.update(nothing, actor.init(params), params)
    # L2 in the gradient, before Adam: 1e-5 w is all there is, and Adam's first step is lr * sign of it
    # (2e-5 is large beside its epsilon of 1e-8).
    np.testing.assert_allclose(updates["w"], [-5e-4, 5e-4], rtol=1e-3)
    updates, _ = critic.update(nothing, critic.init(params), params)
    np.testing.assert_array_equal(updates["w"], [0, 0])


def test_gradients_are_clipped_by_their_global_norm_before_the_decay():
    config = dataclasses.replace(CONFIG, max_grad_norm=1e-9, weight_decay=0.0)
    _, critic = optimisers(config)
    params = {"w": jnp.zeros(2)}
    updates, _ = critic.update({"w": jnp.array([3.0, 4.0])}, critic.init(params), params)
    # The gradient becomes 1e-9 (0.6, 0.8), small beside Adam's epsilon: lr g / (g + 1e-8).
    np.testing.assert_allclose(updates["w"], [-5e-4 * 0.6 / 10.6, -5e-4 * 0.8 / 10.8], rtol=1e-3)


def test_every_minibatch_decays_both_learning_rates():
    config = dataclasses.replace(CONFIG, learning_rate_decay=0.5, weight_decay=0.0, max_grad_norm=1e9)
    params = gradient = {"w": jnp.array([2.0, -3.0])}
    rates = config.actor_learning_rate, config.critic_learning_rate
    for optimiser, rate in zip(optimisers(config), rates, strict=True):
        state = optimiser.init(params)
        for count in range(3):  # Adam's steps on a constant gradient are its rate times the sign
            updates, state = optimiser.update(gradient, state, params)
            np.testing.assert_allclose(updates["w"], [-rate * 0.5**count, rate * 0.5**count], rtol=1e-4)


@pytest.mark.slow
def test_every_minibatch_decays_the_entropy_coefficient_and_moves_both():
    config = dataclasses.replace(CONFIG, entropy=0.1, entropy_decay=0.5)
    actor, critic = optimisers(config)
    policy = PolicyState(
        Trainable(ACTOR, actor.init(ACTOR)), Trainable(CRITIC, critic.init(CRITIC)), jnp.asarray(config.entropy)
    )
    after, metrics = jax.jit(lambda key, p, r: fit_policy(key, p, r, config))(KEY, policy, random_rollouts(0))
    # 12 joint states in minibatches of at most 5: 3 of 4; 2 epochs.
    np.testing.assert_allclose(after.entropy_coefficient, 0.1 * 0.5**6, rtol=1e-6)
    counts = [int(x) for x in jax.tree.leaves(after.critic.opt_state) if jnp.issubdtype(x.dtype, jnp.integer)]
    assert counts and set(counts) == {6}
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), after.actor.params, ACTOR)
    assert all(jax.tree.leaves(moved))
    assert all(math.isfinite(float(x)) for x in jax.tree.leaves(metrics))
