"""SMAC's masks, observations, state and reward (those of its `starcraft2.py` with default options)."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mag.envs.contract import Enemies, EnvSpec, others_of
from mag.envs.smac_jax.battle import Battle, Units
from mag.envs.smac_jax.maps import Map
from mag.envs.smac_jax.rules import DIRECTIONS, FIRST_ATTACK, MOVE_AMOUNT
from mag.envs.smac_jax.terrain import is_walkable
from mag.envs.smac_jax.units import UnitType
from mag.envs.view import Sight

SIGHT_RANGE = 9.0
ATTACK_RANGE = 6.0
REWARD_KILL = 10.0
REWARD_WIN = 200.0
REWARD_SCALE = 20.0
FAINT = 0.1
"""Sum of distance and health below which features show no unit: touching Zerglings are 0.08 sight ranges apart."""


@dataclass(frozen=True)
class Layout:
    """The features of a map's observations and state, from which their sizes follow.

    Ally types are numbered as SMAC's map numbers its own copies of them, in the roster's order. Of two enemy types the
    one with StarCraft II's lower number is first: a Zealot is (0, 1) as an ally and (1, 0) as an enemy. Three are in
    the order of the allies' types.
    """

    ally_shield: bool
    """Whether any ally has a shield."""
    enemy_shield: bool
    ally_type: Float[np.ndarray, "allies types"]
    """One-hot unit types; no columns if each side has a single type."""
    enemy_type: Float[np.ndarray, "enemies types"]

    @property
    def num_allies(self) -> int:
        """The number of agents."""
        return self.ally_type.shape[0]

    @property
    def num_enemies(self) -> int:
        """The number of enemies."""
        return self.enemy_type.shape[0]

    @property
    def num_types(self) -> int:
        """Length of the one-hot unit type."""
        return self.ally_type.shape[1]

    @property
    def per_ally(self) -> int:
        """Features of each other agent in an observation: flag, distance, dx, dy, health, (shield), (type)."""
        return 5 + self.ally_shield + self.num_types

    @property
    def per_enemy(self) -> int:
        """Features of each enemy in an observation, as an ally's."""
        return 5 + self.enemy_shield + self.num_types


def make_layout(game_map: Map) -> Layout:
    """The layout of `game_map`."""
    allies, enemies = game_map.ally_types, game_map.enemy_types
    ally_names = list(dict.fromkeys(unit.name for unit in allies))
    enemy_names = list(dict.fromkeys(unit.name for unit in sorted(enemies, key=lambda unit: unit.number)))
    if len(enemy_names) > 2:
        enemy_names.sort(key=lambda name: ally_names.index(name) if name in ally_names else len(ally_names))
    num_types = max(len(ally_names), len(enemy_names))
    num_types = 0 if num_types == 1 else num_types

    def one_hot(units: list[UnitType], names: list[str]) -> np.ndarray:
        return np.eye(len(names), num_types, dtype=np.float32)[[names.index(unit.name) for unit in units]]

    return Layout(
        ally_shield=any(unit.shield for unit in allies),
        enemy_shield=any(unit.shield for unit in enemies),
        ally_type=one_hot(allies, ally_names),
        enemy_type=one_hot(enemies, enemy_names),
    )


def observation_size(layout: Layout) -> int:
    """Length of an agent's observation."""
    own = 1 + layout.ally_shield + layout.num_types
    return 4 + layout.num_enemies * layout.per_enemy + (layout.num_allies - 1) * layout.per_ally + own


def enemies_shown(game_map: Map) -> Enemies | None:
    """Where observations and actions mention the enemies; None on a map with Medivacs, which heal and do not attack."""
    if any(unit.ability == "heal" for unit in game_map.ally_types):
        return None
    layout = make_layout(game_map)
    return Enemies(layout.num_enemies, first_feature=4, features=layout.per_enemy, offset=2, first_action=FIRST_ATTACK)


def spec_of(name: str, game_map: Map) -> EnvSpec:
    """The spec of the environment `name` that shows battles on `game_map` as SMAC does."""
    layout = make_layout(game_map)
    return EnvSpec(
        name=name,
        n_agents=layout.num_allies,
        obs_dim=observation_size(layout),
        state_dim=state_size(layout),
        n_actions=num_actions(layout),
        episode_limit=game_map.limit,
        has_masks=True,
        has_wins=True,
        enemies=enemies_shown(game_map),
    )


def state_size(layout: Layout) -> int:
    """Length of the global state."""
    per_ally = 4 + layout.ally_shield + layout.num_types
    per_enemy = 3 + layout.enemy_shield + layout.num_types
    last_actions = layout.num_allies * num_actions(layout)
    return layout.num_allies * per_ally + layout.num_enemies * per_enemy + last_actions


def num_actions(layout: Layout) -> int:
    """Number of actions: no-op, stop, four moves and one attack per enemy (of a Medivac: one to heal each ally)."""
    return FIRST_ATTACK + layout.num_enemies


def available_actions(battle: Battle, units: Units) -> Bool[Array, "agents actions"]:
    """Which actions each agent may take.

    Dead agents can only no-op. Living agents can stop, attack living enemies within 6, and move if the pathing grid is
    free one unit ahead: even Colossi, which walk on cliffs, cannot choose to step onto a cliff from beside it. Medivacs
    can heal living allies within 6 that are no Medivacs, by the actions with which others attack.
    """
    count = battle.num_allies
    alive = units.alive[:count, None]
    movable = is_walkable(battle.terrain, _cells_ahead(units.position[:count]))
    targets = _are_near(units.position[:count], units.position[count:]) & units.alive[None, count:]
    healers = battle.kinds.heals[:count]
    if healers.any():
        patients = _are_near(units.position[:count], units.position[:count]) & units.alive[None, :count] & ~healers
        numbered = min(count, battle.num_enemies)
        healable = jnp.zeros_like(targets).at[:, :numbered].set(patients[:, :numbered])
        targets = jnp.where(healers[:, None], healable, targets)
    return jnp.concatenate([~alive, alive, movable & alive, targets & alive], axis=1)


def _are_near(eyes: Float[Array, "agents 2"], position: Float[Array, "others 2"]) -> Bool[Array, "agents others"]:
    """Whether other units are within the range in which SMAC lets all agents attack."""
    offset = position[None] - eyes[:, None]
    return jnp.sqrt(jnp.sum(offset**2, axis=-1)) <= ATTACK_RANGE


def _cells_ahead(position: Float[Array, "agents 2"]) -> Float[Array, "agents directions 2"]:
    """The cell one unit ahead in each direction, with coordinates truncated towards zero, as SMAC does.

    West of x = 0.5 is therefore cell 0, which is free on open maps, not the cell -1 beyond the border.
    """
    step = jnp.asarray(DIRECTIONS) * MOVE_AMOUNT / 2
    here = position[:, None]
    # A sum could be rounded up to the next cell; a difference cannot.
    return jnp.where(step < 0, jnp.trunc(here + step), jnp.floor(here) + step)


def observations(
    battle: Battle, layout: Layout, units: Units, available: Bool[Array, "agents actions"]
) -> Float[Array, "agents features"]:
    """Each agent's observation: movable directions, enemies, other allies, itself; zeros for a dead agent.

    Features of units out of sight (at a distance of 9 or more) and of dead units are zeros.
    """
    count = battle.num_allies
    health, shield = _fractions(battle, units)
    ally_vitals = _vitals(health[:count], shield[:count], layout.ally_type, has_shield=layout.ally_shield)
    enemy_vitals = _vitals(health[count:], shield[count:], layout.enemy_type, has_shield=layout.enemy_shield)
    alive = units.alive
    moves = available[:, 2:FIRST_ATTACK].astype(jnp.float32)
    attackable = available[:, FIRST_ATTACK:].astype(jnp.float32)
    enemies = _seen(units.position[:count], units.position[count:], attackable, enemy_vitals, alive[count:])
    others = others_of(count)
    visible = jnp.ones((count, count - 1))
    allies = _seen(
        units.position[:count],
        units.position[:count][others],
        visible,
        ally_vitals[others],
        alive[:count][others],
    )
    features = jnp.concatenate([moves, enemies, allies, ally_vitals], axis=1)
    return jnp.where(alive[:count, None], features, 0.0)


def _fractions(battle: Battle, units: Units) -> tuple[Float[Array, " units"], Float[Array, " units"]]:
    """Health and shield as fractions of their maxima; 0 for units without shields."""
    return units.health / battle.kinds.health, units.shield / np.maximum(battle.kinds.shield, 1.0)


def _vitals(
    health: Float[Array, " units"],
    shield: Float[Array, " units"],
    types: Float[np.ndarray, "units types"],
    *,
    has_shield: bool,
) -> Float[Array, "units vitals"]:
    """Health, shield if the side has shields, and type if there are several."""
    shields = [shield[:, None]] if has_shield else []
    return jnp.concatenate([health[:, None], *shields, jnp.asarray(types)], axis=1)


def _seen(
    eyes: Float[Array, "agents 2"],
    position: Float[Array, "... 2"],
    flag: Float[Array, "agents others"],
    vitals: Float[Array, "... vitals"],
    alive: Bool[Array, "..."],
) -> Float[Array, "agents features"]:
    """The features of other units, unit by unit: flag, distance, dx and dy in sight ranges, vitals.

    Position, vitals and alive have a leading agents axis if each agent observes a different set of units.
    """
    offset = position - eyes[:, None]
    distance = jnp.sqrt(jnp.sum(offset**2, axis=-1))
    vitals = jnp.broadcast_to(vitals, (*distance.shape, vitals.shape[-1]))
    place = jnp.concatenate([distance[..., None], offset], axis=-1) / SIGHT_RANGE
    features = jnp.concatenate([flag[..., None], place, vitals], axis=-1)
    visible = (distance < SIGHT_RANGE) & alive
    return jnp.where(visible[..., None], features, 0.0).reshape(len(eyes), -1)


def sight(layout: Layout, obs: Float[Array, "agents features"]) -> Sight:
    """The inverse of `observations`: all units as the agents observe them, allies first.

    Features of unseen units are zeros in real observations and only near zero in a model's. A unit counts as seen if
    its flag is set (for the agent itself: if it can move) or if its distance and health add up to more than `FAINT`.
    """
    count, rows = layout.num_allies, np.arange(layout.num_allies)
    per_enemy, per_ally = layout.per_enemy, layout.per_ally
    parts = np.cumsum([4, layout.num_enemies * per_enemy, (count - 1) * per_ally])
    moves, enemies, others, vitals = jnp.split(obs, parts, axis=1)
    own = jnp.concatenate([moves.max(1, keepdims=True), jnp.zeros((count, 3)), vitals], axis=1)
    allies = jnp.zeros((count, count, per_ally)).at[rows, rows].set(own)
    allies = allies.at[rows[:, None], others_of(count)].set(others.reshape(count, count - 1, per_ally))
    enemies = enemies.reshape(count, layout.num_enemies, per_enemy)
    units = jnp.concatenate([_six(allies, layout.ally_shield), _six(enemies, layout.enemy_shield)], axis=1)
    flag, distance, dx, dy, health, shield = jnp.moveaxis(units, -1, 0)
    seen = (flag > 0.5) | (distance + health > FAINT)
    offset = jnp.stack([dx, dy], axis=-1) * SIGHT_RANGE
    return Sight(seen & seen[rows, rows, None], offset, health, shield, own_position=None)


def _six(features: Float[Array, "agents others features"], has_shield: bool) -> Float[Array, "agents others 6"]:
    """Flag, distance, dx, dy, health and shield (0 for a side without shields); the type is dropped."""
    shield = features[..., 5:6] if has_shield else jnp.zeros((*features.shape[:-1], 1))
    return jnp.concatenate([features[..., :5], shield], axis=-1)


def world_state(
    battle: Battle, layout: Layout, units: Units, last_actions: Int[Array, " agents"]
) -> Float[Array, " features"]:
    """The global state: allies, enemies (zeros for dead units) and the last joint action (zeros before the first).

    Each ally is [health, cooldown, x, y, (shield), (type)], each enemy [health, x, y, (shield), (type)]. x and y are
    relative to the map's centre, in map widths and heights; the cooldown is in ticks, divided by the maximum that SMAC
    assumes for the unit type.
    """
    count, kinds = battle.num_allies, battle.kinds
    health, shield = _fractions(battle, units)
    size = battle.terrain.size
    place = (units.position - size / 2) / size
    cooldown = (units.cooldown * battle.ticks_per_second / kinds.state_cooldown)[:count, None]
    ally_vitals = _vitals(health[:count], shield[:count], layout.ally_type, has_shield=layout.ally_shield)
    enemy_vitals = _vitals(health[count:], shield[count:], layout.enemy_type, has_shield=layout.enemy_shield)
    allies = jnp.concatenate([ally_vitals[:, :1], cooldown, place[:count], ally_vitals[:, 1:]], axis=1)
    enemies = jnp.concatenate([enemy_vitals[:, :1], place[count:], enemy_vitals[:, 1:]], axis=1)
    allies = jnp.where(units.alive[:count, None], allies, 0.0)
    enemies = jnp.where(units.alive[count:, None], enemies, 0.0)
    last = last_actions[:, None] == np.arange(num_actions(layout))
    return jnp.concatenate([allies.ravel(), enemies.ravel(), last.ravel().astype(jnp.float32)])


def max_reward(battle: Battle) -> float:
    """SMAC's unscaled return of killing every enemy, if shields never recover."""
    kinds, count = battle.kinds, battle.num_allies
    points = float(np.sum(kinds.health[count:]) + np.sum(kinds.shield[count:]))
    return points + REWARD_KILL * battle.num_enemies + REWARD_WIN


def team_reward(battle: Battle, before: Units, after: Units, won: Bool[Array, ""]) -> Float[Array, ""]:
    """SMAC's reward of one step, scaled so that killing every enemy adds up to 20.

    As in SMAC, the reward is the absolute value of the enemies' loss of health and shield plus 10 per kill: a step in
    which enemies recover more than they lose also has a positive reward.
    """
    count = battle.num_allies
    lost = jnp.sum((before.health + before.shield - after.health - after.shield * after.alive)[count:])
    kills = jnp.sum((before.alive & ~after.alive)[count:])
    reward = jnp.abs(lost + REWARD_KILL * kills) + REWARD_WIN * won
    return reward * (REWARD_SCALE / max_reward(battle))
