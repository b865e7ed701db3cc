"""Unwalkable ground as rectangles, and the shortest ways around it, computed once per map with NumPy."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mag.envs.smac_jax.maps import Map

CLEARANCE = 0.4
"""Distance that planned ways keep from walls: a Zergling's radius and a little."""
MIN_DETOUR = 2.0
"""Length that a way round walls must add to the straight way on some route; else waypoints are left out, and units
slide along walls."""


class Terrain(NamedTuple):
    """The ground of one map."""

    low: Float[np.ndarray, "rects 2"]
    """Lower left corners of the rectangles of unwalkable ground."""
    high: Float[np.ndarray, "rects 2"]
    """Upper right corners of these rectangles."""
    is_cliff: Bool[np.ndarray, " rects"]
    """Whether climbing units may enter the rectangle."""
    size: Float[np.ndarray, "2"]
    """Width and height of the map."""
    waypoints: Int[np.ndarray, "cells cells"] | None
    """The next cell on the shortest way between two 1 x 1 cells (from, to), numbered row by row; -1 if the straight way
    is free. None if no detour on the map is as long as MIN_DETOUR."""


def make_terrain(game_map: Map) -> Terrain:
    """The ground of `game_map`, with its shortest ways."""
    rects = np.array([*game_map.walls, *game_map.cliffs], np.float32).reshape(-1, 4)
    is_cliff = np.arange(len(rects)) >= len(game_map.walls)
    size = np.array([game_map.width, game_map.height], np.float32)
    low, high = rects[:, :2], rects[:, 2:]
    return Terrain(low, high, is_cliff, size, _routes(low, high, size))


def is_walkable(terrain: Terrain, point: Float[Array, "*batch 2"]) -> Bool[Array, "*batch"]:
    """Whether a point lies on the map and outside all unwalkable rectangles and cliffs, as in SMAC's pathing grid.

    Rectangles are half open, [left, right) x [bottom, top), as the cells of the grid are.
    """
    here = point[..., None, :]
    blocked = jnp.any(jnp.all((here >= terrain.low) & (here < terrain.high), axis=-1), axis=-1)
    return jnp.all((point >= 0) & (point < terrain.size), axis=-1) & ~blocked


def push_out(
    terrain: Terrain,
    position: Float[Array, "units 2"],
    before: Float[Array, "units 2"],
    radius: Float[np.ndarray, " units"],
    climbs: Bool[np.ndarray, " units"],
) -> Float[Array, "units 2"]:
    """Positions with all discs on the map and outside the rectangles.

    A disc that touches a rectangle is moved straight out. A disc whose centre would still be inside stays at `before`.
    """
    x = jnp.clip(position[:, 0], radius, terrain.size[0] - radius)
    y = jnp.clip(position[:, 1], radius, terrain.size[1] - radius)
    if len(terrain.low) > 0:
        # One row per rectangle, one column per unit.
        (left, bottom), (right, top) = terrain.low.T[..., None], terrain.high.T[..., None]
        counts = ~(terrain.is_cliff[:, None] & climbs)
        away_x, away_y = x - jnp.clip(x, left, right), y - jnp.clip(y, bottom, top)
        distance = jnp.maximum(jnp.sqrt(away_x**2 + away_y**2), 1e-6)
        push = jnp.where(counts, jnp.maximum(radius / distance - 1.0, 0.0), 0.0)
        # Of several overlaps with rectangles along one wall only the deepest counts; of opposite walls, both do.
        x = x + jnp.max(push * away_x, axis=0, initial=0.0) + jnp.min(push * away_x, axis=0, initial=0.0)
        y = y + jnp.max(push * away_y, axis=0, initial=0.0) + jnp.min(push * away_y, axis=0, initial=0.0)
        inside = jnp.any((x > left) & (x < right) & (y > bottom) & (y < top) & counts, axis=0)
        x, y = jnp.where(inside, before[:, 0], x), jnp.where(inside, before[:, 1], y)
    return jnp.stack([x, y], axis=-1)


def head_for(
    terrain: Terrain,
    position: Float[Array, "units 2"],
    goal: Float[Array, "units 2"],
    climbs: Bool[np.ndarray, " units"],
) -> Float[Array, "units 2"]:
    """The next point on each unit's way to its goal: a waypoint if ground blocks the straight way, else the goal."""
    if terrain.waypoints is None:
        return goal
    width = int(terrain.size[0])
    waypoint = jnp.asarray(terrain.waypoints)[_cell(terrain, position), _cell(terrain, goal)].astype(jnp.int32)
    place = jnp.stack([waypoint % width, waypoint // width], axis=-1) + 0.5
    return jnp.where(((waypoint < 0) | climbs)[:, None], goal, place)


def _cell(terrain: Terrain, point: Float[Array, "units 2"]) -> Int[Array, " units"]:
    cell = jnp.clip(point, 0.0, terrain.size - 1.0).astype(jnp.int32)
    return cell[:, 0] + int(terrain.size[0]) * cell[:, 1]


def _routes(low: np.ndarray, high: np.ndarray, size: np.ndarray) -> np.ndarray | None:
    """The waypoint of every pair of cells. Shortest ways round walls turn only beside corners of walls."""
    width, height = (int(side) for side in size)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    centres = np.stack([x.ravel(), y.ravel()], axis=1) + 0.5
    inside = ((centres[:, None] > low) & (centres[:, None] < high)).all(-1).any(-1)
    free_cells = np.flatnonzero(~inside)
    places = centres[free_cells]
    turns = np.flatnonzero(_beside_corner(~inside.reshape(height, width)).ravel()[free_cells])
    if len(turns) == 0:
        return None
    distance = np.linalg.norm(places[:, None] - places, axis=-1)
    sees = _sees(places, low - CLEARANCE, high + CLEARANCE)
    straight = np.where(sees, distance, np.inf)
    between = straight[np.ix_(turns, turns)]
    for via in range(len(turns)):  # Floyd-Warshall
        between = np.minimum(between, between[:, via, None] + between[via])
    onward = np.stack([(row[:, None] + straight[turns]).min(axis=0) for row in between])  # from turn to cell
    first, best = np.zeros(sees.shape, int), np.full(sees.shape, np.inf)
    for turn, start in enumerate(turns):
        way = straight[:, start, None] + onward[turn]
        way[start] = np.inf  # a way begins with a move
        first = np.where(way < best, start, first)
        best = np.minimum(best, way)
    if np.where(sees, 0.0, best - distance).max() < MIN_DETOUR:
        return None
    waypoint = np.where(sees | np.isinf(best), -1, free_cells[first])
    # Points in unwalkable cells (a Colossus on a cliff) are reached from the nearest walkable cell.
    nearest = np.linalg.norm(centres[:, None] - places, axis=-1).argmin(axis=1)
    return waypoint[nearest][:, nearest].astype(np.int16)


def _beside_corner(free: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """Whether each cell is free and touches a corner of a wall: diagonally blocked, free on both sides."""
    around = np.pad(free, 1, constant_values=False)
    height, width = free.shape
    corner = np.zeros_like(free)
    for up in (0, 2):
        for right in (0, 2):
            diagonal = around[up : up + height, right : right + width]
            vertical = around[up : up + height, 1 : 1 + width]
            horizontal = around[1 : 1 + height, right : right + width]
            corner |= free & ~diagonal & vertical & horizontal
    return corner


def _sees(places: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whether the segment between each two places stays outside all rectangles (slab test)."""
    start = places[:, None]
    way = places[None] - start
    sees = np.ones(way.shape[:2], bool)
    parallel = np.abs(way) < 1e-9
    safe = np.where(parallel, 1.0, way)
    for bottom_left, top_right in zip(low, high, strict=True):
        one, other = (bottom_left - start) / safe, (top_right - start) / safe
        between = (start > bottom_left) & (start < top_right)
        enter = np.where(parallel, np.where(between, -np.inf, np.inf), np.minimum(one, other)).max(-1)
        leave = np.where(parallel, np.where(between, np.inf, -np.inf), np.maximum(one, other)).min(-1)
        sees &= ~((np.maximum(enter, 0.0) + 1e-9) < np.minimum(leave, 1.0))
    return sees
