"""The probe of perfect predictions: its rollouts are battles of the simulator, up to their ends and beyond."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from mag.algorithms.mag.rollout import start_states
from mag.algorithms.registry import default_config
from mag.learning.parallel import first_seed, seed_keys
from mag.play.jax_player import JaxPlayer
from mag.types import Arrival
from tests.support import perfect, perfect_prior, perfect_reward

pytestmark = pytest.mark.slow

ENV = perfect.make("3s_vs_3z")
SPEC = ENV.spec
CONFIG: Any = default_config("mamba", SPEC.name, "debug", "tuned", spec=SPEC)


def untrained(method: Any) -> Any:
    """Untrained models of a method."""
    algorithm = method.make(CONFIG, SPEC)
    return first_seed(algorithm.init(seed_keys(0, 1)).models.weights)


@pytest.fixture(scope="module")
def sequences() -> Arrival:
    """Eight steps of four battles."""
    algorithm: Any = perfect.METHOD.make(CONFIG, SPEC)
    keys = seed_keys(0, 1)
    agent = algorithm.agent(algorithm.init(keys))
    player = JaxPlayer(ENV, num_envs=4, steps=8, limit_ends=True)
    _, played = player.collect(keys, agent, player.start(keys, agent))
    return first_seed(played.arrivals)


def start_of(models: Any, sequences: Arrival) -> Any:
    """The state at the end of the first sequence."""
    return jax.tree.map(lambda x: x[0], start_states(jax.random.key(1), models, sequences, slice(-1, None)))


def test_predictions_are_the_simulators_steps(sequences: Arrival) -> None:
    env, spec, config, models = ENV, SPEC, CONFIG, untrained(perfect.METHOD)
    start = start_of(models, sequences)
    assert sequences.state is not None
    np.testing.assert_array_equal(start.battle, sequences.state[0, -1])

    action = jnp.argmax(start.avail, -1)
    key = jax.random.key(2)
    _, shown = env.step(jax.random.split(key)[0], env.unravel(start.battle), action)
    after = models.predict(key, start, action)
    np.testing.assert_array_equal(after.battle, shown.state)
    np.testing.assert_array_equal(after.avail, shown.avail)
    outcome = models.outcome(start, after)
    np.testing.assert_allclose(outcome.reward, config.models.reward_scale * shown.reward, rtol=1e-6)
    np.testing.assert_array_equal(outcome.continues, 1)

    # A battle at its limit ends with the next step; then nothing happens any more.
    _, timestep = env.reset(jax.random.key(3))
    last = env.unravel(timestep.state)._replace(time=jnp.asarray(spec.episode_limit - 1))
    flat = ravel_pytree(last)[0]
    ended = models.predict(key, start._replace(battle=flat, alive=jnp.ones(spec.n_agents, bool)), action)
    assert not ended.alive.any() and ended.avail.all()
    np.testing.assert_array_equal(models.outcome(start, ended).continues, 0)
    beyond = models.predict(key, ended, action)
    np.testing.assert_array_equal(beyond.battle, ended.battle)
    assert not beyond.alive.any() and beyond.reward == 0


def test_each_variant_changes_one_part_of_a_prediction(sequences: Arrival) -> None:
    key, models = jax.random.key(2), untrained(perfect.METHOD)
    start = start_of(models, sequences)
    action = jnp.argmax(start.avail, -1)
    after = models.predict(key, start, action)

    rewards = untrained(perfect_reward.METHOD)
    same = rewards.predict(key, start_of(rewards, sequences), action)
    np.testing.assert_array_equal(same.battle, after.battle)
    predicted, real = rewards.outcome(start, same), models.outcome(start, after)
    assert not jnp.allclose(predicted.reward, real.reward)
    np.testing.assert_array_equal(predicted.continues, real.continues)
    over = same._replace(alive=jnp.zeros(SPEC.n_agents, bool))
    np.testing.assert_array_equal(rewards.outcome(over, over).reward, 0)

    latents = untrained(perfect_prior.METHOD)
    drawn = latents.predict(key, start_of(latents, sequences), action)
    np.testing.assert_array_equal(drawn.avail, after.avail)
    assert (drawn.stoch != drawn.observed).any()
    again = latents.predict(key, drawn, action)
    other = latents.predict(key, drawn._replace(stoch=jnp.zeros_like(drawn.stoch)), action)
    np.testing.assert_array_equal(again.deter, other.deter)  # what is drawn does not pile up
