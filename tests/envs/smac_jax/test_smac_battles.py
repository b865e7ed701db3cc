"""What holds in every battle, however it is played."""

from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from mag.envs.smac_jax import MAPS, SMAC, State
from mag.envs.smac_jax.observe import available_actions
from mag.envs.smac_jax.players import PLAYERS
from mag.envs.smac_jax.terrain import is_walkable

BATTLES = 4
FAST = ("3s_vs_5z", "corridor")
ALL = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in MAPS]


class Moment(NamedTuple):
    """One step of a battle: the state it led to and what it returned."""

    state: State
    obs: dict[str, Array]
    available: Array
    reward: Array
    dones: dict[str, Array]
    infos: dict[str, Array]
    actions: Array


def battle(env: SMAC, player: str, steps: int, key: Array) -> Moment:
    """A battle of `steps` steps, played on after its end without a reset."""
    _, state = env.reset(key)

    def step(state: State, key: Array) -> tuple[State, Moment]:
        key_player, key_step = jax.random.split(key)
        actions = PLAYERS[player](key_player, env, state)
        named = {agent: actions[i] for i, agent in enumerate(env.agents)}
        obs, state, rewards, dones, infos = env.step_env(key_step, state, named)
        available = available_actions(env.battle, state.units)
        return state, Moment(state, obs, available, rewards["ally_0"], dones, infos, actions)

    return jax.lax.scan(step, state, jax.random.split(key, steps))[1]


@cache
def random_battles(name: str, steps: int = 60) -> tuple[SMAC, Moment]:
    """Random battles [battles, steps, ...] on a map."""
    env = SMAC(name)
    keys = jax.random.split(jax.random.key(7), BATTLES)
    return env, jax.jit(jax.vmap(partial(battle, env, "random", steps)))(keys)


@pytest.mark.parametrize("name", ALL)
def test_numbers_stay_finite_and_in_bounds(name: str) -> None:
    env, moments = random_battles(name)
    for leaf in jax.tree.leaves(moments):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            assert bool(jnp.all(jnp.isfinite(leaf)))
    obs = jnp.stack([moments.obs[agent] for agent in env.agents])
    assert float(jnp.max(jnp.abs(obs))) <= 1.0 + 1e-6
    assert float(jnp.max(jnp.abs(moments.obs["world_state"]))) <= 1.0 + 1e-6
    units = moments.state.units
    assert bool(jnp.all((units.health >= 0) & (units.health <= env.battle.kinds.health)))
    assert bool(jnp.all((units.shield >= 0) & (units.shield <= env.battle.kinds.shield)))


@pytest.mark.parametrize("name", ALL)
def test_units_stay_on_walkable_ground(name: str) -> None:
    env, moments = random_battles(name)
    units = moments.state.units
    assert bool(jnp.all(is_walkable(env.battle.terrain, units.position) | env.battle.kinds.climbs))


@pytest.mark.parametrize("name", ALL)
def test_units_stay_apart(name: str, request: pytest.FixtureRequest) -> None:
    if name == "2c_vs_64zg":
        reason = "64 Zerglings rounding the cliff's end press into each other: 0.33 where 0.25 is asked"
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    env, moments = random_battles(name)
    units, kinds = moments.state.units, env.battle.kinds
    gap = jnp.linalg.norm(units.position[..., None, :] - units.position[..., None, :, :], axis=-1)
    gap -= kinds.radius[:, None] + kinds.radius
    pairs = (kinds.climbs[:, None] == kinds.climbs) & ~np.eye(len(kinds.climbs), dtype=bool)
    both = units.alive[..., None] & units.alive[..., None, :] & pairs
    overlap = np.asarray(jnp.where(both, -gap, 0.0)).max(axis=(-1, -2))
    # Crowds press; on average over a battle the worst pair of all overlaps by less than a third of a
    # Zergling.
    assert overlap.mean() < 0.25


@pytest.mark.parametrize("name", ALL)
def test_masks_and_the_dead(name: str) -> None:
    env, moments = random_battles(name)
    alive = moments.state.units.alive[..., : env.num_agents]
    assert bool(jnp.all(jnp.any(moments.available, axis=-1)))
    np.testing.assert_array_equal(moments.available[..., 0], ~alive)
    np.testing.assert_array_equal(moments.available[..., 1], alive)
    np.testing.assert_array_equal(moments.infos["alive"], alive)
    was_alive = alive[:, :-1]
    np.testing.assert_array_equal(moments.actions[:, 1:] == 0, ~was_alive)
    assert bool(jnp.all(alive[:, 1:] <= was_alive))  # nobody rises


@pytest.mark.parametrize("name", ALL)
def test_rewards_add_up(name: str) -> None:
    env, moments = random_battles(name)
    count, kinds = env.num_agents, env.battle.kinds
    units = moments.state.units
    points = (units.health + units.shield)[..., count:]
    full = jnp.broadcast_to(kinds.health[count:] + kinds.shield[count:], points[:, :1].shape)
    change = jnp.diff(jnp.concatenate([full, points], axis=1), axis=1).sum(axis=-1)
    assert bool(jnp.all(moments.reward >= 0))
    maximum = float(kinds.health[count:].sum() + kinds.shield[count:].sum()) + 10 * env.num_enemies + 200
    steps_without_kills = ~jnp.any(jnp.diff(units.alive[..., count:].astype(int), axis=1) != 0, axis=-1)
    expected = jnp.abs(change) * 20 / maximum
    quiet = np.asarray(steps_without_kills)
    np.testing.assert_allclose(moments.reward[:, 1:][quiet], expected[:, 1:][quiet], atol=1e-4)
    # Random play does not win, so without recovery the sum stays below what kills and damage can pay.
    recovered = jnp.maximum(jnp.diff(points, axis=1), 0).sum(axis=(1, 2)) * 20 / maximum
    assert bool(jnp.all(moments.reward.sum(axis=1) <= 20 + 2 * recovered))


def test_same_key_same_battle_and_vmap_is_a_loop() -> None:
    env, moments = random_battles("3s_vs_5z")
    keys = jax.random.split(jax.random.key(7), BATTLES)
    alone = jax.jit(partial(battle, env, "random", 60))
    for i in (0, 1):
        one = alone(keys[i])
        again = alone(keys[i])
        jax.tree.map(np.testing.assert_array_equal, one, again)
        np.testing.assert_array_equal(one.actions, moments.actions[i])
        np.testing.assert_allclose(one.state.units.position, moments.state.units.position[i], atol=1e-4)
        np.testing.assert_allclose(one.reward, moments.reward[i], atol=1e-4)
    assert not np.array_equal(moments.actions[0], moments.actions[1])


def test_limit_truncates_and_defeat_does_not() -> None:
    env, moments = random_battles("3s_vs_5z")
    defeat = ~jnp.any(moments.infos["alive"], axis=-1)
    assert bool(jnp.any(defeat))
    assert not bool(jnp.any(moments.infos["truncated"]))
    np.testing.assert_array_equal(moments.dones["__all__"], defeat)
    _, state = env.reset(jax.random.key(0))
    late = state._replace(step=jnp.int32(env.max_steps - 1))
    stop = dict.fromkeys(env.agents, jnp.int32(1))
    _, _, _, dones, infos = env.step_env(jax.random.key(0), late, stop)
    assert (bool(dones["__all__"]), bool(infos["truncated"]), bool(infos["won"])) == (True, True, False)


def test_victory_pays_and_step_resets() -> None:
    env = SMAC("3s_vs_3z")
    _, state = env.reset(jax.random.key(0))
    units = state.units
    # One Zealot with 5 health left, 4 away: the first shot wins.
    health = units.health.at[3:].set(jnp.array([5.0, 0.0, 0.0]))
    position = units.position.at[3].set(units.position[0] + jnp.array([-4.0, 0.0]))
    near_end = state._replace(
        units=units._replace(health=health, shield=units.shield.at[3:].set(0.0), position=position)
    )
    attack = dict.fromkeys(env.agents, jnp.int32(6))
    _, after, rewards, dones, infos = env.step(jax.random.key(0), near_end, attack)
    assert bool(infos["won"]) and bool(dones["__all__"]) and bool(dones["ally_1"])
    assert float(rewards["ally_2"]) == pytest.approx((5 + 10 + 200) * 20 / (450 + 30 + 200))
    assert int(after.step) == 0 and bool(jnp.all(after.units.alive))  # a fresh battle


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "player", "clock"),
    [
        ("2s_vs_1sc", "alternate", 22.4),
        ("3s_vs_3z", "kite", 16.0),
        ("3s_vs_4z", "kite", 16.0),
        ("3s_vs_5z", "kite", 22.4),
        ("corridor", "hold_neck", 16.0),
    ],
)
def test_some_plans_win(name: str, player: str, clock: float) -> None:
    env = SMAC(name, ticks_per_second=clock)
    keys = jax.random.split(jax.random.key(3), 16)
    moments = jax.jit(jax.vmap(partial(battle, env, player, env.max_steps)))(keys)
    assert bool(jnp.any(moments.infos["won"]))


@pytest.mark.slow
@pytest.mark.parametrize("player", PLAYERS)
def test_players_only_choose_what_they_may(player: str) -> None:
    env = SMAC("2s3z")
    moments = jax.jit(partial(battle, env, player, 60))(jax.random.key(0))
    chosen = jax.nn.one_hot(moments.actions[1:], env.num_actions, dtype=bool)
    assert bool(jnp.all(jnp.any(chosen & moments.available[:-1], axis=-1)))
