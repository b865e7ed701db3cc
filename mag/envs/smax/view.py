"""The view of SMAX's battles and of its agents' observations: what `mag watch` draws."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mag.envs.contract import others_of
from mag.envs.view import NOBODY, Frame, Kind, Scene, Sight

OTHER = 7
"""Features of another unit before its type: health, dx, dy, last move (2), last target, cooldown."""
OWN = 4
"""Features of the agent itself before its type: health, x, y, cooldown."""


@dataclass(frozen=True)
class SMAXView:
    """The view of one map. States are `mag.envs.jaxmarl.State` with those of JaxMARL's `HeuristicEnemySMAX` inside."""

    env: Any

    @property
    def scene(self) -> Scene:
        """An open field and all of SMAX's unit types, in SMAX's order; no unit has a shield."""
        env = self.env
        radius, health = np.asarray(env.unit_type_radiuses).tolist(), np.asarray(env.unit_type_health).tolist()
        return Scene(
            width=float(env.map_width),
            height=float(env.map_height),
            walls=(),
            cliffs=(),
            kinds=tuple(
                Kind(name, radius[index], health[index], 0.0) for index, name in enumerate(env.unit_type_names)
            ),
            allies=env.num_allies,
        )

    def frame(self, state: Any) -> Frame:
        """The units in a state; targets are those of the last joint action."""
        units = state.inner.state
        return Frame(
            kind=units.unit_types.astype(jnp.int32),
            position=units.unit_positions,
            health=jnp.where(units.unit_alive, units.unit_health, 0.0),
            shield=jnp.zeros_like(units.unit_health),
            target=self._targets(units.prev_attack_actions),
            cooldown=units.unit_weapon_cooldowns,
        )

    def sight(self, obs: Float[Array, "agents obs"]) -> Sight:
        """The units in a joint observation. A unit is seen if its type bits add up to more than 0.5."""
        env, count, types = self.env, self.env.num_allies, self.env.unit_type_bits
        rows, units = np.arange(count), count + env.num_enemies
        others, own = obs[:, : -(OWN + types)], obs[:, -(OWN + types) :]
        others = others.reshape(count, units - 1, OTHER + types)
        own_place = own[:, 1:3] * jnp.asarray([env.map_width, env.map_height])
        alive = own[:, OWN:].sum(1) > 0.5
        # All units but the agent itself, in their order.
        numbers = others_of(units)[:count]
        reach = env.unit_type_sight_ranges[own[:, OWN:].argmax(1)]
        everybody = jnp.zeros((count, units, OTHER + types)).at[rows[:, None], numbers].set(others)
        seen = (everybody[..., OTHER:].sum(-1) > 0.5) & alive[:, None]
        health = everybody[..., 0].at[rows, rows].set(own[:, 0])
        return Sight(
            seen=seen.at[rows, rows].set(alive),
            offset=everybody[..., 1:3] * reach[:, None, None],
            health=health,
            shield=jnp.zeros_like(health),
            own_position=own_place,
        )

    def _targets(self, actions: Int[Array, " units"]) -> Int[Array, " units"]:
        """The unit that each unit's action attacks. In enemies' actions, allies count from the last to the first."""
        allies, moves = self.env.num_allies, self.env.num_movement_actions
        aimed = actions - moves
        is_ally = np.arange(len(actions)) < allies
        target = jnp.where(is_ally, allies + aimed, allies - 1 - aimed)
        return jnp.where(aimed >= 0, target, NOBODY).astype(jnp.int32)
