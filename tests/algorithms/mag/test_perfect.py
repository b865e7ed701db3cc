"""The probe of perfect predictions: its rollouts are battles of the simulator, up to their ends and beyond."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mag.algorithms.mag.rollout import start_states
from mag.algorithms.registry import default_config
from mag.learning.parallel import seed_keys
from mag.play.jax_player import JaxPlayer
from tests.support.perfect import METHOD, PerfectMAG, make

MAP = "3s_vs_3z"


def test_predictions_are_the_simulators_steps() -> None:
    env = make(MAP)
    spec = env.spec
    config: Any = default_config("mamba", spec.name, "debug", "tuned", spec=spec)
    algorithm = METHOD.make(config, spec)
    assert isinstance(algorithm, PerfectMAG)
    keys = seed_keys(0, 1)
    state = algorithm.init(keys)
    player = JaxPlayer(env, num_envs=4, steps=8, limit_ends=True)
    players = player.start(keys, algorithm.agent(state))
    players, played = player.collect(keys, algorithm.agent(state), players)
    models: Any = jax.tree.map(lambda x: x[0], state.models.weights)
    sequences = jax.tree.map(lambda x: x[0], played.arrivals)
    starts = start_states(jax.random.key(1), models, sequences, slice(-1, None))
    start = jax.tree.map(lambda x: x[0], starts)
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
    flat = jax.flatten_util.ravel_pytree(last)[0]
    ended = models.predict(key, start._replace(battle=flat, alive=jnp.ones(spec.n_agents, bool)), action)
    assert not ended.alive.any() and ended.avail.all()
    np.testing.assert_array_equal(models.outcome(start, ended).continues, 0)
    beyond = models.predict(key, ended, action)
    np.testing.assert_array_equal(beyond.battle, ended.battle)
    assert not beyond.alive.any() and beyond.reward == 0
