"""The player of environments that JAX can trace: seeds, environments and turns."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mag.envs.probe import make
from mag.learning.parallel import seed_keys
from mag.learning.sizes import size_of
from mag.play.jax_player import JaxPlayer
from mag.play.player import Player
from tests.support.fake import FakeAgent
from tests.support.fake_env import FakeEnv

AGENTS = FakeAgent(jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 2)), jnp.float32))


@functools.cache
def play(*seeds):
    """Two turns of collecting in 4 environments with the agents of these seeds."""
    agents = jax.tree.map(lambda x: x[jnp.asarray(seeds)], AGENTS)
    keys = jnp.stack([seed_keys(10, 3)[seed] for seed in seeds])
    player = JaxPlayer(FakeEnv(), num_envs=4, steps=7, num_seeds=len(seeds))
    players, found = player.start(keys, agents), []
    for turn in (5, 6):
        players, played = player.collect(
            jax.vmap(lambda key, turn=turn: jax.random.fold_in(key, turn))(keys), agents, players
        )
        found.append(jax.tree.map(np.asarray, played))
    return found


def test_what_is_played_has_axes_of_seeds_environments_and_time():
    for played in play(0, 1, 2):
        assert {x.shape[:3] for x in jax.tree.leaves((played.arrivals, played.episodes, played.transitions))} == {
            (3, 4, 7)
        }
        assert {x.shape[:2] for x in jax.tree.leaves((played.carry, played.last))} == {(3, 4)}


def test_a_seed_plays_what_it_plays_alone():
    together = play(0, 1, 2)
    for seed in (0, 2):
        for both, alone in zip(together, play(seed), strict=True):
            jax.tree.map(lambda a, b, seed=seed: np.testing.assert_array_equal(a[seed], b[0]), both, alone)


def test_a_turn_goes_on_where_the_last_one_stopped_and_environments_differ():
    first, second = play(0, 1, 2)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[:, :, 0]), first.last, second.arrivals)
    assert first.arrivals.first[:, :, 0].all() and not second.arrivals.first[:, :, 0].all()
    assert len({tuple(row) for row in first.arrivals.obs[0, :, :, 0, 0].tolist()}) > 1


def test_a_test_episode_takes_what_an_environment_holds():
    player = JaxPlayer(make("relay"), num_envs=1, steps=1)
    assert isinstance(player, Player) and player.spec.name == "probe/relay"
    # Three times the state and the time step that a reset gives.
    assert player.footprint() == {"episode": 3 * size_of(make("relay").reset(jax.random.key(0)))}
