"""Planning over episodes that may end before the horizon."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.algorithms.mag.algorithm import MAG
from mag.algorithms.mag.config import NetworksConfig
from mag.algorithms.mag.local_models import LocalModels
from mag.algorithms.mag.model_reward import ErrorReward
from mag.algorithms.mag.planning import planned
from mag.algorithms.mag.policy import Actor
from mag.algorithms.mag.world_model import WorldModel
from mag.algorithms.registry import default_config
from mag.learning.networks import MLP
from mag.planners.config import ShootingConfig
from tests.support.small import SPEC

AGENTS, ACTIONS = 2, 3


class Net(eqx.Module):
    """A network on states."""

    net: MLP

    def __call__(self, state):
        return self.net(state)


class Error(eqx.Module):
    """The error that a state holds."""

    def __call__(self, state):
        return state[..., 1:]


class Duel(WorldModel):
    """Each step ends the episode with probability 1/2. A state is `[agents, (alive, error of the prediction)]`: 1 for a
    step of the episode, `at_end` for its last one, and -9 for what comes after, which is no error at all."""

    at_end: float

    initial = observe = outcome = decode = loss = one_step = None  # not needed to plan

    def predict(self, key, state, action):
        was_alive = state[:, 0] > 0
        alive = was_alive & jax.random.bernoulli(key)
        error = jnp.where(alive, 1.0, jnp.where(was_alive, self.at_end, -9.0))
        return jnp.stack([alive, error], -1)

    def alive(self, state):
        return state[:, 0] > 0

    def reader(self, key, sizes, activation, init="xavier"):
        return Net(MLP(key, (2, *sizes), activation, init))


def share_of_ends(at_end, choice="best"):
    models = Duel(at_end)
    actor = Actor(jax.random.key(0), models, ACTIONS, NetworksConfig())
    model_reward = ErrorReward(jax.random.key(1), models, hidden=4, layers=1)
    model_reward = eqx.tree_at(lambda reward: reward.net, model_reward, Error())
    planner = ShootingConfig(num_trajectories=4, horizon=5, choice=choice)
    predict = planned(planner, models, model_reward, actor)
    start, action = jnp.ones((AGENTS, 2)), jnp.zeros(AGENTS, jnp.int32)
    states = jax.jit(jax.vmap(lambda key: predict(key, start, action)))(jax.random.split(jax.random.key(2), 2000))
    return 1 - np.asarray(states[:, 0, 0]).mean()


@pytest.mark.parametrize("choice", ["best", "own"])
def test_an_end_is_neither_sought_nor_shunned_for_what_comes_after(choice):
    assert share_of_ends(1.0, choice) == pytest.approx(0.5, abs=0.04)
    # An end that is itself harder to predict is avoided, unless all of 4 trajectories begin with one: 1/16.
    assert share_of_ends(3.0, choice) == pytest.approx(1 / 16, abs=0.02)
    assert share_of_ends(0.5, choice) == pytest.approx(15 / 16, abs=0.02)


class Still(LocalModels):
    """Local models that predict that nothing changes."""

    def predict(self, key, state, action):
        return super().predict(key, state, action)._replace(stoch=state.stoch)


def test_a_subclass_that_predicts_in_its_own_way_is_planned_with():
    config = default_config("mag", SPEC.name, "debug", "tuned")
    models = Still(jax.random.key(0), SPEC, config.networks, config.models)
    state, action = models.initial(), jnp.zeros(SPEC.n_agents, jnp.int32)
    state = state._replace(stoch=jnp.ones_like(state.stoch))
    actor = Actor(jax.random.key(1), models, SPEC.n_actions, config.networks)
    model_reward = ErrorReward(jax.random.key(2), models, hidden=4, layers=1)
    predict = planned(ShootingConfig(num_trajectories=3, horizon=2), models, model_reward, actor)
    np.testing.assert_array_equal(predict(jax.random.key(3), state, action).stoch, state.stoch)


def test_planning_chooses_how_things_happen_and_not_whether_agents_die():
    config = default_config("mag", SPEC.name, "debug", "tuned")
    models = MAG(config, SPEC).make_models(jax.random.key(0), SPEC, config)
    actor = Actor(jax.random.key(1), models, SPEC.n_actions, config.networks)
    careful = ErrorReward(jax.random.key(2), models, hidden=4, layers=2)
    reckless = eqx.tree_at(lambda reward: reward.net.rest.layers[-1].weight, careful, replace_fn=lambda weight: -weight)
    state, action = models.initial(), jnp.zeros(SPEC.n_agents, jnp.int32)

    def chosen(model_reward):
        predict = planned(ShootingConfig(num_trajectories=6, horizon=2), models, model_reward, actor)
        return jax.jit(jax.vmap(lambda key: predict(key, state, action)))(jax.random.split(jax.random.key(3), 200))

    one, other = chosen(careful), chosen(reckless)
    assert 0.1 < np.asarray(one.alive).mean() < 0.9
    np.testing.assert_array_equal(one.alive, other.alive)
    assert np.mean(np.asarray(one.stoch) != np.asarray(other.stoch)) > 0.3
