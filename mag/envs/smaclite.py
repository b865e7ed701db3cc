"""Family `smaclite`: SMAC's maps in SMAClite, a NumPy simulator by other authors, if it is installed.

SMAClite is on no package index: `pip install` its repository (github.com/uoe-agents/smaclite). Sizes, limits and the
order of agents and enemies are those of `smac_jax`, so that a policy trained on one family plays the other. Three
features are converted to SMAC's form: the enemies' unit types (SMAClite numbers them like the allies'), the cooldowns
in the state (SMAClite divides them by other maxima), and the last actions in the state where an episode starts
(SMAClite keeps those of the previous episode). The rules of play (no path-finding, 16 ticks per second) and the ground
remain SMAClite's.
"""

import contextlib
import dataclasses
import importlib
import importlib.metadata
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from mag.envs.contract import EnvSpec
from mag.envs.host import time_step
from mag.envs.smac_jax.battle import LOOPS_PER_SECOND
from mag.envs.smac_jax.loading import get_map
from mag.envs.smac_jax.maps import Map
from mag.envs.smac_jax.observe import (
    Layout,
    make_layout,
    sight,
    spec_of,
)
from mag.envs.view import NOBODY, Frame, Kind, Rectangle, Scene, Sight
from mag.errors import UsageError
from mag.types import TimeStep

host = True
MAPS = ("2s_vs_1sc", "2s3z", "3s_vs_5z", "2c_vs_64zg", "corridor", "3s5z_vs_3s6z")
"""The maps that `smac_jax` and SMAClite have in common."""
MOVES = 4


class SMACliteEnv:
    """One of SMAClite's maps as a `HostEnv`."""

    def __init__(self, spec: EnvSpec, game_map: Map, inner: Any) -> None:
        """Wrap `inner`, SMAClite's environment. Raises UsageError where its sizes are not those of `spec`."""
        self.spec, self._layout, self._inner = spec, make_layout(game_map), inner
        self._longest = np.array([kind.state_cooldown for kind in game_map.ally_types]) / LOOPS_PER_SECOND
        """Seconds by which SMAC divides each agent's cooldown."""
        theirs = (inner.n_agents, inner.obs_size, inner.n_actions, inner.state_size)
        ours = (spec.n_agents, spec.obs_dim, spec.n_actions, spec.state_dim)
        if theirs != ours:
            raise UsageError(
                f"{spec.name}: the sizes of team, observation, actions and state are {theirs} in this version of "
                f"SMAClite and {ours} in SMAC; install SMAClite's current version"
            )
        self.view = SMACliteView(inner, self._layout)
        self._time = 0

    def reset(self, seed: int) -> TimeStep:
        """See `HostEnv.reset`."""
        with contextlib.redirect_stdout(io.StringIO()):
            self._inner.reset(seed=seed)
        self.units = [*self._inner.agents.values(), *self._inner.enemies.values()]
        """The units of the episode, allies first; SMAClite itself removes the dead."""
        self._time = 0
        return self._show(self._inner.get_obs(), first=True)

    def step(self, action: Int[np.ndarray, " agents"]) -> TimeStep:
        """See `HostEnv.step`. An unavailable action counts as stop."""
        avail = np.asarray(self._inner.get_avail_actions(), bool)
        allowed = [int(a) if mask[a] else int(mask[1]) for a, mask in zip(action, avail, strict=True)]
        obs, reward, done, _, _ = self._inner.step(allowed)
        self._time += 1
        return self._show(
            obs,
            reward=float(reward),
            terminated=bool(done),
            truncated=self._time >= self.spec.episode_limit,
            won=bool(done) and bool(self._inner.agents) and not self._inner.enemies,
        )

    def close(self) -> None:
        """See `HostEnv.close`."""
        self._inner.close()

    def _show(self, obs: Any, **rest: Any) -> TimeStep:
        return time_step(
            self.spec,
            obs=self._in_smacs_order(np.array(obs, np.float32), MOVES, 5),
            avail=np.asarray(self._inner.get_avail_actions(), bool),
            alive=np.array([agent in self._inner.agents for agent in range(self.spec.n_agents)]),
            state=self._state(first=bool(rest.get("first"))),
            **rest,
        )

    def _state(self, *, first: bool) -> Float[np.ndarray, " features"]:
        """The global state, with the enemies' types, the cooldowns and the last actions as SMAC shows them."""
        start, agents = self._enemies_in_state, self.spec.n_agents
        state = self._in_smacs_order(self._inner.get_state()[None].astype(np.float32), start, 3)[0]
        for agent, unit in self._inner.agents.items():
            state[agent * (start // agents) + 1] = unit.cooldown / self._longest[agent]
        if first:
            state[-agents * self.spec.n_actions :] = 0
        return state

    @property
    def _enemies_in_state(self) -> int:
        """Where the enemies begin in the global state."""
        return self._layout.num_allies * (4 + self._layout.ally_shield + self._layout.num_types)

    def _in_smacs_order(
        self, features: Float[np.ndarray, "rows features"], start: int, size: int
    ) -> Float[np.ndarray, "rows features"]:
        """The features with the enemies' types as in SMAC.

        The enemies begin at `start`; each has `size` features, a shield if any enemy has one, and its type."""
        layout, types = self._layout, self._layout.num_types
        if types == 0:
            return features
        end = start + layout.num_enemies * (size + layout.enemy_shield + types)
        enemies = features[:, start:end].reshape(len(features), layout.num_enemies, -1)
        enemies[..., -types:] = layout.enemy_type * enemies[..., -types:].any(-1, keepdims=True)
        features[:, start:end] = enemies.reshape(len(features), -1)
        return features


@dataclasses.dataclass(frozen=True)
class SMACliteView:
    """The view of one of SMAClite's maps."""

    inner: Any
    layout: Layout

    @property
    def scene(self) -> Scene:
        """See `View.scene`."""
        ground = self.inner.map_info
        kinds = (
            Kind(kind.stats.name.lower(), float(kind.radius), float(kind.stats.hp), float(kind.stats.shield))
            for kind in self._kinds
        )
        return Scene(
            width=float(ground.width),
            height=float(ground.height),
            walls=_cells(ground.terrain, "X"),
            cliffs=_cells(ground.terrain, "C"),
            kinds=tuple(kinds),
            allies=self.layout.num_allies,
        )

    def frame(self, state: SMACliteEnv) -> Frame:
        """The units of the environment `state`; the dead lie where they fell."""
        units = state.units
        numbers = {unit.id: number for number, unit in enumerate(units)}
        targets = [NOBODY if unit.target is None else numbers[unit.target.id] for unit in units]
        columns: dict[str, Any] = {
            "kind": np.array([self._kinds.index(unit.type) for unit in units], np.int32),
            "position": np.array([unit.pos for unit in units], np.float32),
            "health": np.array([unit.hp for unit in units], np.float32),
            "shield": np.array([unit.shield if unit.hp > 0 else 0 for unit in units], np.float32),
            "target": np.array(targets, np.int32),
            "cooldown": np.array([unit.cooldown for unit in units], np.float32),
        }
        return Frame(**columns)

    def sight(self, obs: Float[Any, "agents obs"]) -> Sight:
        """See `View.sight`."""
        return sight(self.layout, obs)

    @property
    def _kinds(self) -> list[Any]:
        return list(dict.fromkeys(kind for group in self.inner.map_info.groups for kind, _ in group.units))


def _cells(terrain: Any, sort: str) -> tuple[Rectangle, ...]:
    """The cells of one sort in SMAClite's terrain, whose rows are listed from the bottom."""
    return tuple(
        (float(x), float(y), x + 1.0, y + 1.0)
        for y, row in enumerate(terrain)
        for x, cell in enumerate(row)
        if cell.value == sort
    )


def specs() -> dict[str, EnvSpec]:
    """The spec of every map, by its name; SMAClite need not be installed."""
    return {map_name: _spec(map_name) for map_name in MAPS}


def make(map_name: str) -> SMACliteEnv:
    """The environment of one of the maps in `specs()`. Raises UsageError where SMAClite is not installed."""
    return SMACliteEnv(_spec(map_name), get_map(map_name), make_inner(map_name))


def make_inner(map_name: str) -> Any:
    """SMAClite's own environment, made without its printed output. Raises UsageError where it is not installed."""
    with _needing_smaclite(map_name):
        importlib.import_module("smaclite")  # registers its maps with gymnasium
        gymnasium = importlib.import_module("gymnasium")
        with contextlib.redirect_stdout(io.StringIO()):
            return gymnasium.make(f"smaclite/{map_name}-v0").unwrapped


def notes(map_name: str, content: dict[str, Any] | None) -> dict[str, Any]:
    """SMAClite's version. Raises UsageError where SMAClite is not installed."""
    del content
    with _needing_smaclite(map_name):
        importlib.import_module("smaclite")
        return {"smaclite": importlib.metadata.version("smaclite")}


@contextlib.contextmanager
def _needing_smaclite(map_name: str) -> Iterator[None]:
    """Raise UsageError where SMAClite, or a package that it needs, cannot be imported."""
    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"smaclite/{map_name} needs SMAClite, but {error.name} is not installed: pip install SMAClite's repository "
            "(github.com/uoe-agents/smaclite), as it is on no package index"
        ) from error


def _spec(map_name: str) -> EnvSpec:
    return spec_of(f"smaclite/{map_name}", get_map(map_name))
