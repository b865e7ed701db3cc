"""The joint ratio as the model reward: two agents whose true observations always agree, unlike the models'."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mag.algorithms.mag.model_reward import ErrorReward
from mag.algorithms.mag.ratio import RatioReward
from mag.algorithms.mag.world_model import WorldModel
from mag.learning.networks import MLP
from mag.planners.shooting import plan
from mag.play.episode import empty_arrival
from tests.support.small import SPEC

AGENTS = 2


class Read(eqx.Module):
    """A network on coins."""

    net: MLP

    def __call__(self, state):
        return self.net(jax.nn.one_hot(state, 2))


class Coins(WorldModel):
    """Local models of a coin each: heads or tails with equal probability, which is right for each agent by itself."""

    initial = observe = outcome = decode = loss = one_step = None  # not needed for the ratio

    def reader(self, key, sizes, activation, init="xavier"):
        return Read(MLP(key, (2, *sizes), activation, init))

    def predict(self, key, state, action):
        return jax.random.bernoulli(key, shape=(AGENTS,)).astype(jnp.int32)

    def observe_sequence(self, key, sequence):
        return sequence.obs[..., 0].astype(jnp.int32)


def true_batch(key, count=64, time=5):
    """Sequences of one coin that both agents see."""
    coin = jax.random.bernoulli(key, shape=(count, time, 1, 1)).astype(jnp.float32)
    empty = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, time, *x.shape)), empty_arrival(SPEC))
    return empty._replace(
        obs=jnp.broadcast_to(coin, (count, time, AGENTS, 1)),
        previous_action=jnp.zeros((count, time, AGENTS), jnp.int32),
    )


def agreement(score, choice, num_trajectories):
    """How often the two agents agree in the predictions that planning chooses."""
    choose = partial(
        plan,
        predict=Coins().predict,
        act=lambda key, state: jnp.zeros(AGENTS, jnp.int32),
        score=score,
        num_trajectories=num_trajectories,
        horizon=1,
        choice=choice,
    )
    nothing = jnp.zeros(AGENTS, jnp.int32)
    states = jax.jit(jax.vmap(lambda key: choose(key, nothing, nothing).state))(
        jax.random.split(jax.random.key(9), 2000)
    )
    return float(np.mean(states[:, 0] == states[:, 1]))


@pytest.fixture(scope="module")
def learned():
    net = RatioReward(jax.random.key(0), Coins(), hidden=16, layers=2, heads=2)
    rule = optax.adam(optax.linear_schedule(5e-3, 0.0, 600))

    def step(carry, key):
        net, state = carry
        key_batch, key_loss = jax.random.split(key)
        gradient, metrics = jax.grad(lambda net: net.loss(key_loss, Coins(), true_batch(key_batch)), has_aux=True)(net)
        updates, state = rule.update(gradient, state, net)
        return (optax.apply_updates(net, updates), state), metrics

    keys = jax.random.split(jax.random.key(1), 600)
    (net, _), metrics = jax.jit(lambda net: jax.lax.scan(step, (net, rule.init(net)), keys))(net)
    return net, jax.tree.map(lambda x: float(x[-100:].mean()), metrics)


def exact(state):
    """The log ratio: two agreeing coins have probability 1/2 where the models say 1/4; others never happen."""
    return jnp.where(state[0] == state[1], jnp.log(2.0), -30.0)


@pytest.mark.parametrize("choice", ["best", "proportional"])
def test_resampling_by_the_exact_ratio_brings_the_joint_distribution(choice):
    # Of L independent predictions none agrees with probability 2^-L: agreement is 1/2, 3/4, 31/32.
    for num_trajectories, expected in ((1, 0.5), (2, 0.75), (5, 0.969)):
        assert agreement(exact, choice, num_trajectories) == pytest.approx(expected, abs=0.04)


def test_the_classifier_learns_the_ratio(learned):
    net, metrics = learned
    # Half of the predictions agree and cannot be told from the truth: at the optimum an agreeing pair is real with
    # probability 2/3, so its logit is ln 2. All real pairs are called real, as are half of the predicted ones:
    # the accuracy is the mean of 1 and 1/2.
    assert metrics["model_reward/accuracy"] == pytest.approx(0.75, abs=0.03)
    for side in (0, 1):
        assert float(net.score(jnp.array([side, side]))) == pytest.approx(0.693, abs=0.2)
        assert float(net.score(jnp.array([side, 1 - side]))) < -2
    assert agreement(net.score, "proportional", 5) > 0.93


def test_an_agents_own_error_cannot_see_it():
    net = ErrorReward(jax.random.key(0), Coins(), hidden=16, layers=2)
    # Each agent's error is a function of its own coin: scores of one heads and one tails lie between the others.
    scores = [float(net.score(jnp.array(pair))) for pair in ((0, 0), (1, 1), (0, 1), (1, 0))]
    assert scores[2] == pytest.approx(sum(scores[:2]) / 2, abs=1e-5) and scores[3] == pytest.approx(scores[2], abs=1e-5)
    assert agreement(net.score, "proportional", 32) < 0.62
