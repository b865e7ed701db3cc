"""Small battles for the tests of `mag.envs.smac_jax`."""

from collections.abc import Callable

import pytest

from mag.envs.smac_jax.battle import LOOPS_PER_SECOND
from mag.envs.smac_jax.env import SMAC
from mag.envs.smac_jax.loading import unit_types
from mag.envs.smac_jax.maps import Map, Rect, Squad

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
        clock: float = LOOPS_PER_SECOND,
        hunt: bool = False,
    ) -> SMAC:
        game_map = Map(
            name="test",
            allies=tuple(Squad(unit, 1, x, y) for unit, x, y in allies),
            enemies=tuple(Squad(unit, 1, x, y) for unit, x, y in enemies),
            limit=100,
            attack_point=attack_point,
            hunt=hunt,
            walls=walls,
            cliffs=cliffs,
            units=unit_types(),
        )
        return SMAC(game_map, clock, reload_varies=False)

    return make
