"""Masks, observations, state and reward equal a second implementation's, on random states of all maps.

States are random in all that SMAC reads: places down to the borders and the middle of walls, whole and quarter
coordinates (which make distances of exactly 6 and 9), dead units, hurt shields, cooldowns and last actions.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.envs.smac_jax.battle import Units, start_units
from mag.envs.smac_jax.loading import MAP_NAMES
from mag.envs.smac_jax.observe import available_actions, observations, team_reward, world_state
from tests.support.smac_numpy import Interface, Unit
from tests.support.smac_play import battle, jit, smac

STATES = 60
LOOPS_PER_SECOND = 22.4


def random_units(name: str, seed: int) -> Units:
    """Units [states, units] in random states."""
    env, rng = smac(name), np.random.default_rng(seed)
    kinds, shape = env.battle.kinds, (STATES, env.num_agents + env.num_enemies)
    place = rng.uniform(0.01, 31.99, (*shape, 2))
    place = np.where(rng.random((*shape, 1)) < 0.3, np.clip(np.round(place * 4) / 4, 0.25, 31.75), place)
    # Some stand at the border, some exactly 6 or 9 away from an agent.
    border = rng.choice([0.01, 0.5, 1.0, 31.0, 31.99], (*shape, 2))
    place = np.where(rng.random((*shape, 2)) < 0.1, border, place)
    exact = rng.random(shape) < 0.2
    agent = np.clip(np.round(place[:, :1] * 4) / 4, 0.25, 31.75)
    place[:, :1] = agent
    offset = rng.choice([-9.0, -6.0, 6.0, 9.0], shape)[..., None] * np.eye(2)[rng.integers(0, 2, shape)]
    exact &= ((agent + offset > 0) & (agent + offset < 32)).all(-1)
    exact[:, 0] = False
    place = np.where(exact[..., None], agent + offset, place)
    health = rng.uniform(0.5, 1.0, shape) * kinds.health * (rng.random(shape) < 0.75)
    shield = np.where(health > 0, np.round(rng.random(shape), 2) * kinds.shield, 0.0)
    blank = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (STATES, *leaf.shape)), start_units(env.battle))
    values = {"position": place, "health": health, "shield": shield, "cooldown": rng.uniform(0, 1.3, shape)}
    return blank._replace(**{field: jnp.asarray(value, jnp.float32) for field, value in values.items()})


def as_plain(name: str, units: Units, index: int) -> tuple[list[Unit], list[Unit]]:
    """Allies and enemies of one state as plain numbers."""
    interface = Interface(name)
    kinds = interface.allies + interface.enemies
    rows = zip(units.position[index], units.health[index], units.shield[index], units.cooldown[index], strict=True)
    plain = [
        Unit(kind, float(place[0]), float(place[1]), float(health), float(shield), float(cooldown) * LOOPS_PER_SECOND)
        for kind, (place, health, shield, cooldown) in zip(kinds, rows, strict=True)
    ]
    return plain[: len(interface.allies)], plain[len(interface.allies) :]


@cache
def interface_of(name: str):
    """Mask, observations, state and reward of a batch of states by `smac_jax`, compiled once."""
    env = smac(name)

    def read(units: Units, after: Units, actions: jax.Array, won: jax.Array):
        mask = available_actions(env.battle, units)
        return (
            mask,
            observations(env.battle, env.layout, units, mask),
            world_state(env.battle, env.layout, units, actions),
            team_reward(env.battle, units, after, won),
        )

    return jit(jax.vmap(read))


@pytest.mark.parametrize("name", MAP_NAMES)
def test_the_interface_equals_that_of_plain_numbers(name: str) -> None:
    plain, env = Interface(name), smac(name)
    rng = np.random.default_rng(1)
    units, other = (jax.tree.map(np.asarray, random_units(name, seed)) for seed in (2, 3))
    # Nobody rises from the dead.
    lives = units.health > 0
    after = units._replace(health=np.where(lives, other.health, 0), shield=np.where(lives, other.shield, 0))
    actions = rng.integers(-1, env.num_actions, (STATES, env.num_agents))
    won = rng.random(STATES) < 0.2
    mask, seen, state, reward = (np.asarray(each) for each in interface_of(name)(units, after, actions, won))
    for index in range(STATES):
        allies, enemies = as_plain(name, units, index)
        _, enemies_after = as_plain(name, after, index)
        numbers = range(len(allies))
        np.testing.assert_array_equal(mask[index], [plain.mask(ally, enemies) for ally in allies])
        np.testing.assert_allclose(seen[index], [plain.observation(i, allies, enemies) for i in numbers], atol=1e-6)
        np.testing.assert_allclose(state[index], plain.state(allies, enemies, list(actions[index])), atol=1e-6)
        expected = plain.reward(enemies, enemies_after, won=bool(won[index]))
        np.testing.assert_allclose(reward[index], expected, rtol=1e-5)
    # The states are worth comparing: exact ranges, masked and free moves, dead agents.
    gaps = np.linalg.norm(units.position[:, :1] - units.position[:, 1:], axis=-1)
    assert (gaps == 6).any() and (gaps == 9).any()
    assert all(0 < mask[..., action].mean() < 1 for action in range(6))


def test_no_mask_is_wrong_in_battles_of_a_kiting_player() -> None:
    # They run along the walls: where moves west and south are asked for by rounding down, 7 % of masks are wrong.
    name = "3s_vs_5z"
    keys = jax.random.split(jax.random.key(7), 2)
    played = jit(jax.vmap(partial(battle, smac(name), "kite", 60)))(keys)
    units = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(-1, *leaf.shape[2:]), played.state.units)
    masks = np.asarray(played.available).reshape(-1, *played.available.shape[2:])
    assert (units.position[..., :3, :] < 1).any()
    for index in range(len(masks)):
        allies, enemies = as_plain(name, units, index)
        np.testing.assert_array_equal(masks[index], [Interface(name).mask(ally, enemies) for ally in allies])
