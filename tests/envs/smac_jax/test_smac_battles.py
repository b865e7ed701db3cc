"""What holds in every battle, however it is played.

A few random battles per map are looked at. `SMAC_BATTLES=1000 pytest tests/envs/smac_jax/test_smac_battles.py` looks at
that many, to the end.
"""

import os
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.envs.smac_jax.loading import MAP_NAMES
from mag.envs.smac_jax.players import PLAYERS
from mag.envs.smac_jax.terrain import is_walkable
from mag.play.tournament import battles_on, score
from tests.support.smac_play import Transition, by_name, jit, random_battles, smac

SHORT = ("3s_vs_5z", "corridor")
"""Open ground and a crowd between walls; the other maps are slow tests, with fewer battles."""
WANTED = int(os.environ.get("SMAC_BATTLES", "0"))
AT_ONCE = 25
"""Battles played side by side where many are wanted."""
OVERLAP = {"corridor": (0.05, 0.45), "2c_vs_64zg": (0.12, 0.5)}
"""How deep the pair that overlaps most may do so, on average over a battle and at worst; 0.02 and 0.3 elsewhere.

Crowds press. Measured in 1000 random battles: 0.06 and 0.36 (half a Zergling) in 2c_vs_64zg, 0.02 and 0.31 in corridor;
below 0.003 and 0.2 on the other maps.
"""


def few(name: str) -> Transition:
    """Random battles on a map [battles, steps, ...]; 60 steps are enough for random Stalkers to be slain."""
    return random_battles(name, battles=4 if name in SHORT else 2, steps=60)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((name, part), id=f"{name}-{part}", marks=() if name in SHORT else pytest.mark.slow)
        for name in MAP_NAMES
        for part in range(max(1, -(-WANTED // AT_ONCE)))
    ],
)
def battles(request: pytest.FixtureRequest) -> tuple[str, Transition]:
    """A map's name and random battles there: a few, or one part of as many as `SMAC_BATTLES` asks for."""
    name, part = request.param
    return name, random_battles(name, AT_ONCE, steps=smac(name).max_steps, seed=part) if WANTED else few(name)


def running(transitions: Transition) -> np.ndarray:
    """Which steps [battles, steps] belong to the battle: all up to its end, after which it is played on."""
    over = np.asarray(transitions.dones["__all__"])
    return np.cumsum(over, axis=1) - over == 0


@cache
def one_step():
    """A step of 3s_vs_5z on its own, compiled once."""
    return jit(smac("3s_vs_5z").step_env)


@cache
def on_ground(name: str):
    """Which of some positions on a map are walkable, and which are so for units that climb cliffs; compiled once."""
    terrain = smac(name).battle.terrain
    walls = ~terrain.is_cliff
    climbable = terrain._replace(low=terrain.low[walls], high=terrain.high[walls], is_cliff=terrain.is_cliff[walls])
    return jit(lambda position: (is_walkable(terrain, position), is_walkable(climbable, position)))


def test_numbers_stay_finite_and_in_bounds(battles: tuple[str, Transition]) -> None:
    name, transitions = battles
    kinds = smac(name).battle.kinds
    for leaf in jax.tree.leaves(transitions):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            assert np.isfinite(leaf).all()
    # Only the state may exceed 1: a reload can take longer than the most that SMAC assumes.
    assert all(
        np.abs(obs).max() <= (1.1 if key == "world_state" else 1.0 + 1e-6) for key, obs in transitions.obs.items()
    )
    health, shield = np.asarray(transitions.state.units.health), np.asarray(transitions.state.units.shield)
    assert ((health >= 0) & (health <= kinds.health)).all()
    assert ((shield >= 0) & (shield <= kinds.shield)).all()


def test_units_stay_on_ground_they_can_enter(battles: tuple[str, Transition]) -> None:
    name, transitions = battles
    walkable, off_walls = on_ground(name)(transitions.state.units.position)
    climbs = smac(name).battle.kinds.climbs
    assert np.where(climbs, off_walls, walkable).all()


def test_units_stay_apart(battles: tuple[str, Transition]) -> None:
    name, transitions = battles
    kinds = smac(name).battle.kinds
    pairs = (kinds.climbs[:, None] == kinds.climbs) & ~np.eye(len(kinds.climbs), dtype=bool)
    units = transitions.state.units
    position, alive = np.asarray(units.position), np.asarray(units.alive)
    gap = np.linalg.norm(position[..., None, :] - position[..., None, :, :], axis=-1)
    gap -= kinds.radius[:, None] + kinds.radius
    both = alive[..., None] & alive[..., None, :] & pairs
    overlap = np.where(both, -gap, 0.0).max(axis=(-1, -2))
    overlap = overlap[running(transitions)]
    on_average, at_worst = OVERLAP.get(name, (0.02, 0.3))
    assert overlap.mean() < on_average
    assert overlap.max() < at_worst


def test_masks_and_the_dead(battles: tuple[str, Transition]) -> None:
    name, transitions = battles
    alive = np.asarray(transitions.state.units.alive[..., : smac(name).num_agents])
    available = np.asarray(transitions.available)
    assert available.any(axis=-1).all()
    np.testing.assert_array_equal(available[..., 0], ~alive)
    np.testing.assert_array_equal(available[..., 1], alive)
    np.testing.assert_array_equal(transitions.infos["alive"], alive)
    was_alive = alive[:, :-1]
    np.testing.assert_array_equal(transitions.actions[:, 1:] == 0, ~was_alive)
    assert (alive[:, 1:] <= was_alive).all()  # nobody rises


def test_rewards_add_up(battles: tuple[str, Transition]) -> None:
    name, transitions = battles
    env = smac(name)
    count, kinds = env.num_agents, env.battle.kinds
    maximum = float(kinds.health[count:].sum() + kinds.shield[count:].sum()) + 10 * env.num_enemies + 200
    before, after, within = transitions.before.units, transitions.state.units, running(transitions)
    reward = np.where(within, transitions.reward, 0.0)
    change = np.asarray(after.health + after.shield - before.health - before.shield)[..., count:] * within[..., None]
    quiet = np.asarray(before.alive == after.alive)[..., count:].all(axis=-1)
    expected = np.abs(change.sum(axis=-1)) * 20 / maximum
    np.testing.assert_allclose(reward[quiet], expected[quiet], atol=1e-4)
    assert (reward >= 0).all()
    # Without what enemies recover, paid itself and again in the damage that undoes it, the sum stays below what damage,
    # kills and a victory can pay.
    recovered = np.maximum(change, 0).sum(axis=(1, 2)) * 20 / maximum
    assert (reward.sum(axis=1) <= 20 + 2 * recovered + 1e-4).all()


@pytest.mark.slow
def test_a_battle_step_by_step_is_the_same_battle() -> None:
    env, transitions = smac("3s_vs_5z"), few("3s_vs_5z")
    keys = jax.random.split(jax.random.split(jax.random.key(7), 4)[1], 60)
    _, state = env.reset(keys[0])
    for time in range(20):
        key, actions = jax.random.split(keys[time])[1], by_name(env, transitions.actions[1, time])
        result, again = one_step()(key, state, actions), one_step()(key, state, actions)
        jax.tree.map(np.testing.assert_array_equal, result, again)
        state = result[1]
        expected = jax.tree.map(lambda leaf, time=time: leaf[1, time], transitions)
        np.testing.assert_allclose(state.units.position, expected.state.units.position, atol=1e-4)
        np.testing.assert_allclose(result[2]["ally_0"], expected.reward, atol=1e-4)
    assert not np.array_equal(transitions.actions[0], transitions.actions[1])


@pytest.mark.slow
def test_limit_truncates_and_defeat_does_not() -> None:
    env, transitions = smac("3s_vs_5z"), few("3s_vs_5z")
    defeat = ~np.asarray(transitions.infos["alive"]).any(axis=-1)
    assert defeat.any()
    assert not np.asarray(transitions.infos["truncated"]).any()
    np.testing.assert_array_equal(transitions.dones["__all__"], defeat)
    _, state = env.reset(jax.random.key(0))
    late = state._replace(step=jnp.int32(env.max_steps - 1))
    _, _, _, dones, infos = one_step()(jax.random.key(0), late, by_name(env, jnp.ones(3, jnp.int32)))
    assert (bool(dones["__all__"]), bool(infos["truncated"]), bool(infos["won"])) == (True, True, False)


@pytest.mark.slow
def test_victory_pays() -> None:
    env = smac("3s_vs_5z")
    _, state = env.reset(jax.random.key(0))
    units = state.units
    # One Zealot with 5 health left, 4 away: the first shot wins.
    units = units._replace(
        health=units.health.at[3:].set(jnp.array([5.0, 0, 0, 0, 0])),
        shield=units.shield.at[3:].set(0.0),
        position=units.position.at[3].set(units.position[0] + jnp.array([-4.0, 0.0])),
    )
    attack = by_name(env, jnp.full(3, 6, jnp.int32))
    _, _, rewards, dones, infos = one_step()(jax.random.key(0), state._replace(units=units), attack)
    assert bool(infos["won"]) and bool(dones["__all__"]) and bool(dones["ally_1"])
    # Per enemy 150 points and 10 for the kill, and 200 for the victory.
    assert float(rewards["ally_2"]) == pytest.approx((5 + 10 + 200) * 20 / (750 + 50 + 200))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "player"),
    [
        ("2s_vs_1sc", "alternate"),
        ("2s_vs_1sc", "swap_target"),
        ("3s_vs_4z", "kite"),
        ("3s_vs_5z", "kite"),
        ("2s3z", "protect_wounded"),
        ("3s5z_vs_3s6z", "protect_wounded"),
        ("corridor", "hold_neck"),
        ("2c_vs_64zg", "hold_corner"),
        ("2c_vs_64zg", "hold_cliff"),
    ],
)
def test_some_plans_win(name: str, player: str) -> None:
    assert score(battles_on(name), player, count=8)["win_rate"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("3s_vs_4z", 0),
        ("3s_vs_5z", 0),
        ("2c_vs_64zg", 0),
        ("3s5z_vs_3s6z", 0),
        ("corridor", 1 / 16),  # 0.05 of 200 battles
    ],
)
def test_hard_maps_are_not_won_by_attacking_the_nearest(name: str, most: float) -> None:
    assert score(battles_on(name), "attack_nearest", count=16)["win_rate"] <= most


@pytest.mark.slow
def test_on_2s_vs_1sc_a_slow_win_is_worth_less_than_attacking_at_the_papers_discount_and_a_quick_win_more() -> None:
    env = battles_on("2s_vs_1sc")
    attack, plan = score(env, "attack_nearest", count=8), score(env, "alternate", count=8)
    assert plan["mean_return"] > 2 * attack["mean_return"]
    assert plan["discounted_return"] < attack["discounted_return"]
    assert attack["mean_length"] < plan["mean_length"] < env.max_steps
    # Both shoot on while the second takes the hits: 10 shots of 16 each in about 40 steps.
    swap = score(env, "swap_target", count=8)
    assert swap["mean_length"] < 50
    assert swap["discounted_return"] > 1.5 * attack["discounted_return"]
    undiscounted = score(env, "attack_nearest", count=8, gamma=1.0)
    assert undiscounted["discounted_return"] == pytest.approx(attack["mean_return"], rel=1e-5)


@pytest.mark.slow
def test_players_only_choose_what_they_may() -> None:
    env = smac("2s3z")
    before = few("2s3z").before
    available = jax.vmap(jax.vmap(env.get_avail_actions))(before)
    available = np.stack([available[agent] for agent in env.agents], axis=-2)
    for player in PLAYERS.values():
        choose = jit(jax.vmap(jax.vmap(lambda state, player=player: player(jax.random.key(0), env, state))))
        chosen = np.asarray(choose(before))[..., None]
        assert np.take_along_axis(available, chosen, axis=-1).all()
