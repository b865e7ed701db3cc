"""What SMAC shows, and what `mag watch` draws, from the game's ground and units by the code of `smac_jax`."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from mag.envs.smac_jax.battle import LOOPS_PER_SECOND, Battle, Units, make_battle
from mag.envs.smac_jax.maps import Map, Rect
from mag.envs.smac_jax.observe import Layout, available_actions, observations, team_reward, world_state
from mag.envs.view import Frame, Scene, Sight


class Shown(NamedTuple):
    """What SMAC shows at one time step."""

    obs: Float[np.ndarray, "agents obs"]
    avail: Bool[np.ndarray, "agents actions"]
    state: Float[np.ndarray, " state"]
    reward: Float[np.ndarray, ""]


def map_on(game_map: Map, ground: Any) -> Map:
    """`game_map` on the game's own pathing grid (`start_raw` of game_info)."""
    walls = tuple(Rect(*run) for run in _runs(~pathing_grid(ground.pathing_grid)))
    size = {"width": ground.map_size.x, "height": ground.map_size.y}
    return dataclasses.replace(game_map, walls=walls, cliffs=(), attack_point=None, **size)


def battle_on(game_map: Map) -> Battle:
    """The battle on a map from `map_on`, without shortest ways: the game finds its own."""
    battle = make_battle(dataclasses.replace(game_map, walls=()), LOOPS_PER_SECOND, reload_varies=False)
    corners = np.array(game_map.walls, np.float32).reshape(-1, 4)
    terrain = battle.terrain._replace(
        low=corners[:, :2], high=corners[:, 2:], is_cliff=np.zeros(len(corners), bool), waypoints=None
    )
    return dataclasses.replace(battle, terrain=terrain)


def pathing_grid(image: Any) -> Bool[np.ndarray, "width height"]:
    """Whether units can walk on each cell, `[x, y]`."""
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


@dataclasses.dataclass(frozen=True)
class StarCraftView:
    """The view of a game: its ground, and its units as last read. The game does not reveal enemies' targets."""

    env: Any

    @property
    def scene(self) -> Scene:
        """See `View.scene`. Raises GameError before the first episode: the ground is the game's."""
        return self.env.smac_view().scene

    def frame(self, state: Any) -> Frame:
        """The units of the environment `state`."""
        units, actions = jax.tree.map(jnp.asarray, (state.units, state.last_actions))
        frame: Frame = jax.tree.map(np.asarray, state.smac_view().frame_of(units, actions))
        return frame

    def sight(self, obs: Float[Any, "agents obs"]) -> Sight:
        """See `View.sight`."""
        return self.env.smac_view().sight(obs)


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
