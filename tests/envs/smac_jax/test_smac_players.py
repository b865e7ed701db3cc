"""What a Colossus sweeps, by the scripted player of 2c_vs_64zg and by the script that measures world models."""

import jax
import jax.numpy as jnp
import numpy as np

from mag.envs.smac_jax.players import hold_corner, hold_corner_attack_nearest
from mag.envs.smac_jax.rules import FIRST_ATTACK
from mag.play.tournament import battles_on
from tests.support.aim import summary, swept

EYE = np.array([9.0, 19.0])
PLACES = np.array([[0, -1.5], [-1.6, 0], [4, 0], [4, -1.4], [4, 1.4], [4.5, 0], [-5, -3], [5.9, 3]], np.float32)
"""Eight Zerglings beside a Colossus; the third is the middle of a column of three, with another one behind it."""
SWEPT = [1, 1, 4, 3, 3, 4, 1, 1]
"""A beam aimed at an end of the column is not parallel to it and misses the other end."""


def test_a_beam_sweeps_what_lies_across_the_line_of_fire() -> None:
    assert swept(PLACES[None])[0].tolist() == SWEPT


def test_of_equal_targets_the_player_attacks_the_nearer_one() -> None:
    env = battles_on("2c_vs_64zg")
    _, state = env.reset(jax.random.key(0))
    position, health = np.array(state.units.position), np.array(state.units.health)
    position[0], position[2:10], health[10:] = EYE, EYE + PLACES, 0
    units = state.units._replace(position=jnp.asarray(position), health=jnp.asarray(health))
    state = state._replace(units=units)
    assert int(hold_corner(jax.random.key(0), env, state)[0]) == FIRST_ATTACK + 2
    assert int(hold_corner_attack_nearest(jax.random.key(0), env, state)[0]) == FIRST_ATTACK


def test_an_error_of_position_costs_the_beam_its_victims() -> None:
    exact = summary(PLACES[None], PLACES[None])
    assert exact["position_error"] == [0] * 8
    assert (exact["swept_at_best"], exact["swept_decoded"], exact["swept_nearest"]) == (4, 4, 1)
    decoded = PLACES.copy()
    decoded[2:6] = [[4, 5], [6, 0], [8, 9], [-9, 3]]  # as if the column were scattered
    assert summary(PLACES[None], decoded[None])["swept_decoded"] == 1


def test_combat_is_where_eight_are_seen_and_one_is_near() -> None:
    unseen, far = PLACES.copy(), PLACES + np.array([9, 9])
    unseen[-1] = 0
    both = np.stack([PLACES, unseen, far])
    assert summary(both, both)["observations"] == 1
