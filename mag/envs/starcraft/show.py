"""From the game's ground and units to what SMAC shows: the code of `smac_jax`, compiled for the CPU."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from mag.envs.smac_jax.battle import LOOPS_PER_SECOND, Battle, Units, make_battle
from mag.envs.smac_jax.maps import Map
from mag.envs.smac_jax.observe import Layout, available_actions, observations, team_reward, world_state


class Shown(NamedTuple):
    """What one moment shows."""

    obs: Float[np.ndarray, "agents obs"]
    avail: Bool[np.ndarray, "agents actions"]
    state: Float[np.ndarray, " state"]
    reward: Float[np.ndarray, ""]


def battle_on(game_map: Map, ground: Any) -> Battle:
    """The battle of `game_map` on the game's own pathing grid (`start_raw` of game_info)."""
    free = pathing_grid(ground.pathing_grid)
    corners = np.array(_runs(~free), np.float32).reshape(-1, 4)
    empty = dataclasses.replace(
        game_map, walls=(), cliffs=(), width=ground.map_size.x, height=ground.map_size.y, attack_point=None
    )
    battle = make_battle(empty, LOOPS_PER_SECOND, reload_varies=False)
    terrain = battle.terrain._replace(
        low=corners[:, :2], high=corners[:, 2:], is_cliff=np.zeros(len(corners), bool), waypoints=None
    )
    return dataclasses.replace(battle, terrain=terrain)


def pathing_grid(image: Any) -> Bool[np.ndarray, "width height"]:
    """Where one can walk, cell by cell, `[x, y]`."""
    width, height = image.size.x, image.size.y
    data = np.frombuffer(image.data, np.uint8)
    if image.bits_per_pixel == 1:
        return np.unpackbits(data)[: width * height].reshape(height, width).T.astype(bool)
    # Versions before 4.7 have a byte a cell, 255 for walls, and rows from the top.
    return (data.reshape(height, width)[::-1].T) == 0


def _runs(blocked: Bool[np.ndarray, "width height"]) -> list[tuple[int, int, int, int]]:
    """Rectangles that cover the blocked cells: the runs of each row."""
    rects = []
    for bottom, row in enumerate(blocked.T):
        edges = np.flatnonzero(np.diff(row.astype(int), prepend=0, append=0))
        rects += [(int(left), bottom, int(right), bottom + 1) for left, right in edges.reshape(-1, 2)]
    return rects


def make_show(battle: Battle, layout: Layout) -> Any:
    """`show(before, after, last_actions, won) -> Shown`, compiled for the CPU."""

    @jax.jit
    def show(before: Units, after: Units, last_actions: Any, won: Any) -> Shown:
        available = available_actions(battle, after)
        return Shown(
            obs=observations(battle, layout, after, available),  # type: ignore[arg-type]
            avail=available,  # type: ignore[arg-type]
            state=world_state(battle, layout, after, last_actions),  # type: ignore[arg-type]
            reward=team_reward(battle, before, after, jnp.asarray(won)),  # type: ignore[arg-type]
        )

    def on_the_cpu(*args: Any) -> Shown:
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            return jax.tree.map(np.asarray, show(*args))

    return on_the_cpu
