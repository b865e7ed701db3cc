"""Joint events: deaths, ends and components drawn once for the team."""

import dataclasses
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.algorithms.mag.config import ModelsConfig, NetworksConfig
from mag.algorithms.mag.joint_events import Event, mixture_kl
from mag.algorithms.mag.local_models import LocalModels, observe_sequence, one_step_predictions
from mag.envs import EnvSpec
from mag.learning.distributions import kl_categorical
from mag.learning.optimise import Trainable, fit, make_optimiser
from mag.types import Arrival

SPEC = EnvSpec("toy/coin", 2, 3, None, 2, 10, has_masks=True, has_wins=False)
SIZES = NetworksConfig(
    hidden=16,
    deterministic=16,
    categoricals=4,
    classes=4,
    attention_layers=1,
    heads=2,
    dropout=0.0,
    joint_events=True,
)


def coin_sequence(key, length=8):
    """A world of one coin: at each arrival all agents see the same side; with the other coin both die for good."""
    key_side, key_fate = jax.random.split(key)
    side = jax.random.bernoulli(key_side, shape=(length,)).astype(jnp.float32)
    fate = jax.random.bernoulli(key_fate, 0.2, (length,)).at[0].set(False)
    alive = jnp.broadcast_to(~(jnp.cumsum(fate) > 0)[:, None], (length, 2))
    shown = jnp.stack([side, 1 - side, jnp.ones(length)], -1)
    return Arrival(
        obs=jnp.where(alive[..., None], shown[:, None], 0.0),
        avail=jnp.stack([~alive, alive], -1),
        alive=alive,
        previous_action=jnp.zeros((length, 2), jnp.int32),
        reward=jnp.zeros(length),
        continues=jnp.ones(length),
        first=jnp.arange(length) == 0,
        state=None,
    )


def fitted(components, updates=1500):
    networks = dataclasses.replace(SIZES, components=components)
    optimiser = make_optimiser("adam", 3e-3, 1.0, 100.0)

    def loss(models, key):
        key_sample, key_loss = jax.random.split(key)
        return models.loss(key_loss, jax.vmap(coin_sequence)(jax.random.split(key_sample, 16)))

    models = Trainable.create(untrained(networks, reconstruction_weight=10.0), optimiser)
    return jax.jit(lambda key, models: fit(key, models, loss, optimiser, batches=updates))(jax.random.key(1), models)[
        0
    ].params


def untrained(networks=SIZES, **config):
    return LocalModels(jax.random.key(0), SPEC, networks, ModelsConfig(**config))


def arrivals(models, count=400):
    """Drawn successors of an episode's start: sides that the agents see, and which agents are alive."""
    sequence = jax.tree.map(lambda x: x[:1], coin_sequence(jax.random.key(3)))
    _, states = observe_sequence(models, jax.random.key(4), sequence, training=False)
    start = jax.tree.map(lambda x: x[0], states)
    keys = jax.random.split(jax.random.key(5), count)
    following = jax.vmap(lambda key: models.predict(key, start, jnp.zeros(2, jnp.int32)))(keys)
    obs = jax.vmap(models.decode)(following)
    return np.asarray(obs), np.asarray(following.alive)


@pytest.mark.slow
def test_a_team_that_lives_and_sees_together_is_drawn_together():
    obs, alive = arrivals(fitted(components=6))
    assert np.mean(alive[:, 0] == alive[:, 1]) > 0.95
    assert np.mean(~alive[:, 0]) == pytest.approx(0.2, abs=0.08)
    both = alive.all(1)
    sides = obs[both, :, 0] > 0.5
    assert np.mean(sides[:, 0] == sides[:, 1]) > 0.9
    assert np.mean(sides) == pytest.approx(0.5, abs=0.15)
    # the dead see nothing, whole
    assert np.abs(obs[~alive.any(1)]).max(-1).mean() < 0.2


@pytest.mark.slow
def test_without_components_agents_see_apart():
    obs, alive = arrivals(fitted(components=1))
    both = alive.all(1)
    sides = obs[both, :, 0] > 0.5
    assert np.mean(sides[:, 0] == sides[:, 1]) < 0.8


def test_nobody_comes_back_and_an_end_takes_everyone():
    models = untrained()
    was_alive = jnp.array([True, False])
    deter = jnp.zeros((2, 16))

    def draw(key, continuation):
        return models.events.draw(key, was_alive, deter, jnp.full(2, continuation)).alive

    keys = jax.random.split(jax.random.key(1), 200)
    goes_on = np.asarray(jax.vmap(lambda key: draw(key, 100.0))(keys))
    assert not goes_on[:, 1].any() and goes_on[:, 0].any() and not goes_on[:, 0].all()
    assert not np.asarray(jax.vmap(lambda key: draw(key, -100.0))(keys)).any()


def test_ends_are_so_many_times_as_likely():
    events = untrained().events
    lives = eqx.tree_at(lambda events: events.life.layers[1].bias, events, jnp.full(1, 100.0))
    keys = jax.random.split(jax.random.key(1), 5000)

    def share_of_ends(factor):
        continuation = jnp.full(2, jnp.log(9.0))  # an end in a tenth of the transitions
        draw = partial(lives.draw, was_alive=jnp.ones(2, bool), deter=jnp.zeros((2, 16)), continuation=continuation)
        return 1 - np.mean(jax.vmap(lambda key: draw(key, end_factor=factor).alive.any())(keys))

    assert [share_of_ends(factor) for factor in (0.5, 1.0, 2.0)] == pytest.approx([0.05, 0.1, 0.2], abs=0.015)
    assert share_of_ends(10.1) == 1


def test_the_ends_of_a_team_are_as_frequent_as_its_agents_say_on_average():
    events = untrained().events
    lives = eqx.tree_at(lambda events: events.life.layers[1].bias, events, jnp.full(1, 100.0))
    # One agent is sure that the battle goes on, the other expects an end with probability 0.2: 0.1.
    draw = partial(
        lives.draw,
        was_alive=jnp.ones(2, bool),
        deter=jnp.zeros((2, 16)),
        continuation=jnp.array([100.0, jnp.log(4.0)]),
    )
    alive = jax.vmap(lambda key: draw(key).alive.any())(jax.random.split(jax.random.key(1), 5000))
    assert 1 - np.mean(alive) == pytest.approx(0.1, abs=0.015)


def test_a_prediction_ends_as_often_as_the_option_says():
    usual, often = (untrained(end_factor=factor) for factor in (1.0, 1e6))
    state, action = usual.initial(), jnp.zeros(2, jnp.int32)
    assert usual.predict(jax.random.key(0), state, action).alive.any()
    assert not often.predict(jax.random.key(0), state, action).alive.any()


def test_the_prior_of_an_agent_depends_on_the_life_of_the_other():
    models = untrained()
    deter = jax.random.normal(jax.random.key(1), (2, 16))
    both, one = (models.prior_hidden(deter, Event(jnp.array(alive), jnp.int32(0))) for alive in ([1, 1], [1, 0]))
    assert np.abs(np.asarray(both[0] - one[0])).max() > 1e-3


def test_mixture_of_one_component_is_the_plain_kl():
    posterior, prior = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    found = mixture_kl(posterior, prior[None], jnp.zeros(1), 0.8)
    assert float(found) == pytest.approx(float(kl_categorical(posterior, prior).mean()), rel=1e-5)


def test_mixture_takes_the_component_that_fits():
    # Two agents with one variable of two classes, both surely in class 0 (logit 20). One component says class 0 for
    # both, the other class 1 for both; each weighs 1/2. The KL is ln 2 over 2 agents: 0.3466.
    sure = jnp.array([20.0, 0.0])
    posterior = jnp.broadcast_to(sure, (2, 1, 2))
    priors = jnp.stack([posterior, posterior[..., ::-1]])
    found = mixture_kl(posterior, priors, jnp.log(jnp.array([0.5, 0.5])), 0.8)
    assert float(found) == pytest.approx(0.3466, abs=1e-3)


def test_initial_state_is_alive():
    assert untrained().initial().alive.all()


def test_survival_is_learned_of_the_living_while_the_episode_lasts():
    models = untrained()
    alive = jnp.array([[1, 1], [1, 0], [1, 0], [0, 0]], bool)
    sequence = coin_sequence(jax.random.key(0), 4)._replace(alive=alive, continues=jnp.array([1.0, 1.0, 1.0, 0.0]))
    found = one_step_predictions(models, jax.random.key(1), sequence, training=False)
    logit = np.asarray(jax.vmap(lambda deter: models.events.life_logits(deter, jnp.int32(0)))(found.posterior.deter))
    nll = np.logaddexp(0, np.where(alive, -logit, logit))
    # Arrival 0 has no past. Before arrival 1 both lived, before 2 only agent 0; 3 is the end. The team's error over 2:
    expected = np.array([0, nll[1].sum() / 2, nll[2, 0] / 2, 0])
    np.testing.assert_allclose(found.errors.life, np.stack([expected, expected], 1), rtol=1e-5, atol=1e-6)
    assert (found.errors.available_actions[3] == 0).all() and (found.errors.available_actions[:3] > 0).all()


def test_an_episode_goes_on_while_an_agent_lives():
    models = untrained()
    one_lives = models.initial()._replace(alive=jnp.array([True, False]))
    none_lives = one_lives._replace(alive=jnp.zeros(2, bool))
    assert models.outcome(one_lives, one_lives).continues.tolist() == [1, 1]
    assert models.outcome(one_lives, none_lives).continues.tolist() == [0, 0]
