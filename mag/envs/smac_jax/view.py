"""The view of this family's battles: what `mag watch` draws."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mag.envs.smac_jax.battle import Battle, Units
from mag.envs.smac_jax.maps import Map
from mag.envs.smac_jax.observe import Layout, sight
from mag.envs.smac_jax.rules import FIRST_ATTACK
from mag.envs.smac_jax.units import UnitType
from mag.envs.view import NOBODY, Frame, Kind, Scene, Sight


@dataclass(frozen=True)
class SMACView:
    """The view of one map. States are `mag.envs.jaxmarl.State` with `env.State` inside."""

    game_map: Map
    battle: Battle
    layout: Layout

    @property
    def scene(self) -> Scene:
        """The map's ground and unit types."""
        ground = self.game_map
        return Scene(
            width=float(ground.width),
            height=float(ground.height),
            walls=tuple(ground.walls),
            cliffs=tuple(ground.cliffs),
            kinds=tuple(
                Kind(unit.name, float(unit.radius), float(unit.health), float(unit.shield)) for unit in self._types
            ),
            allies=self.battle.num_allies,
        )

    def frame(self, state: Any) -> Frame:
        """The units in a state."""
        return self.frame_of(state.inner.units, state.inner.last_actions)

    def frame_of(self, units: Units, actions: Int[Array, " agents"]) -> Frame:
        """The units after a joint action; an ally's target is the enemy it was ordered to attack."""
        ordered = jnp.where(actions >= FIRST_ATTACK, actions - FIRST_ATTACK + self.battle.num_allies, NOBODY)
        enemies = units.target[self.battle.num_allies :]
        return Frame(
            kind=jnp.asarray([self._types.index(unit) for unit in self._units], jnp.int32),
            position=units.position,
            health=jnp.where(units.alive, units.health, 0.0),
            shield=jnp.where(units.alive, units.shield, 0.0),
            target=jnp.concatenate([ordered.astype(jnp.int32), enemies]),
            cooldown=units.cooldown,
        )

    def sight(self, obs: Float[Array, "agents obs"]) -> Sight:
        """The units in a joint observation; SMAC's observations do not contain the agents' own positions."""
        return sight(self.layout, obs)

    @property
    def _units(self) -> list[UnitType]:
        return self.game_map.ally_types + self.game_map.enemy_types

    @property
    def _types(self) -> list[UnitType]:
        return list(dict.fromkeys(self._units))
