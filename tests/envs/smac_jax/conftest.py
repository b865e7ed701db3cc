"""Small battles for the tests of `mag.envs.smac_jax`."""

from collections.abc import Callable

import jax.numpy as jnp
import pytest

from mag.envs.smac_jax import SMAC, Map, Squad
from mag.envs.smac_jax.maps import Rect

Place = tuple[str, float, float]


@pytest.fixture(scope="session")
def make_env() -> Callable[..., SMAC]:
    """Builds a battle of single units, given as (unit, x, y); enemies hold unless told otherwise."""

    def make(
        allies: list[Place],
        enemies: list[Place],
        attack_point: tuple[float, float] | None = None,
        walls: tuple[Rect, ...] = (),
        cliffs: tuple[Rect, ...] = (),
    ) -> SMAC:
        return SMAC(
            Map(
                name="test",
                allies=tuple(Squad(unit, 1, x, y) for unit, x, y in allies),
                enemies=tuple(Squad(unit, 1, x, y) for unit, x, y in enemies),
                limit=100,
                attack_point=attack_point,
                walls=walls,
                cliffs=cliffs,
            )
        )

    return make


@pytest.fixture(scope="session")
def as_actions() -> Callable[..., dict]:
    """Turns a list of action numbers into the dictionary an environment takes."""
    return lambda actions: {f"ally_{i}": jnp.int32(action) for i, action in enumerate(actions)}
