"""The contract of environments whose battles can be drawn: units in a state, and units as the agents observe them.

Such an environment has an attribute `view` (`View`), which is all that `mag watch` needs. Units are numbered allies
first, in the order of the agents, then enemies. Lengths are in map units.
"""

import dataclasses
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

FAMILIES = ("smac_jax", "smaclite", "smax", "starcraft")
"""The package's families whose environments have a view."""
NOBODY = -1
"""Target of a unit that attacks no other."""

Rectangle = tuple[float, float, float, float]
"""Left, bottom, right and top."""


class Kind(NamedTuple):
    """A unit type. Health and shield are the points of a fresh unit, 0 for one without a shield."""

    name: str
    radius: float
    health: float
    shield: float


class Scene(NamedTuple):
    """The constants of all battles of an environment; on the host they are known once an episode has begun."""

    width: float
    height: float
    walls: tuple[Rectangle, ...]
    """Ground that no unit enters."""
    cliffs: tuple[Rectangle, ...]
    """Ground that only climbing units enter."""
    kinds: tuple[Kind, ...]
    allies: int
    """Number of allies, which are the first units."""


class Frame(NamedTuple):
    """The units at one time step of a battle; dead units have no health."""

    kind: Int[Array, " units"]
    """Index of the unit's type in `Scene.kinds`."""
    position: Float[Array, "units 2"]
    health: Float[Array, " units"]
    shield: Float[Array, " units"]
    target: Int[Array, " units"]
    """Number of the unit attacked in the last step; NOBODY if there is none."""
    cooldown: Float[Array, " units"]
    """Seconds until the weapon is ready; 0 where it is not known. The weapon was fired in a step if and only if its
    cooldown rose, provided that weapons reload slower than a step takes, as those of the package's families do."""


class Sight(NamedTuple):
    """Every unit as each agent observes it, one row per agent; the agent itself is among the units."""

    seen: Bool[Array, "agents units"]
    offset: Float[Array, "agents units 2"]
    """Vector from the agent to the unit. Undefined if not `seen`, as are health and shield."""
    health: Float[Array, "agents units"]
    """Share of a fresh unit's health."""
    shield: Float[Array, "agents units"]
    """Share of a fresh unit's shield."""
    own_position: Float[Array, "agents 2"] | None
    """The agents' positions on the map; None if observations do not contain them."""


@runtime_checkable
class View(Protocol):
    """The view of one environment."""

    @property
    def scene(self) -> Scene:
        """The constants of all battles."""
        ...

    def frame(self, state: Any) -> Frame:
        """The units in a state of the environment. An environment on the host (`mag.envs.host`) is its own state."""
        ...

    def sight(self, obs: Float[Array, "agents obs"]) -> Sight:
        """The units in a joint observation, real or a model's: features that are nearly zero count as zero."""
        ...


LEAST_HEALTH = 0.01
"""Least share of health of a unit that is seen: a model may predict less, or a negative share."""


def place(sight: Sight, real: Frame, scene: Scene) -> Frame:
    """The units as a joint observation describes them: means over the agents that see a unit; unseen units are dead.

    If observations do not contain an agent's own position (SMAC's do not), its position in the `real` frame is used, so
    that only relative positions can be wrong. An ally is then drawn where the other agents see it, or in its real
    position if none does. Types, targets and cooldowns are those of `real`, as are the positions of unseen units.
    """
    seen = sight.seen
    if sight.own_position is None:
        eyes = real.position[: scene.allies]
        others = ~jnp.eye(scene.allies, seen.shape[1], dtype=bool)
        places = seen & (others | ~(seen & others).any(0))
    else:
        eyes, places = sight.own_position, seen
    position = _mean(eyes[:, None] + sight.offset, places)
    alive = seen.any(0)
    health = jnp.clip(_mean(sight.health, seen), LEAST_HEALTH, 1) * _per_unit(real, [k.health for k in scene.kinds])
    shield = jnp.clip(_mean(sight.shield, seen), 0, 1) * _per_unit(real, [k.shield for k in scene.kinds])
    return real._replace(
        position=jnp.where(alive[:, None], position, real.position),
        health=jnp.where(alive, health, 0.0),
        shield=jnp.where(alive, shield, 0.0),
    )


def _per_unit(frame: Frame, per_kind: list[float]) -> Float[Array, " units"]:
    return jnp.asarray(per_kind, jnp.float32)[frame.kind]


def _mean(values: Float[Array, "agents units *vector"], seen: Bool[Array, "agents units"]) -> Array:
    """Means over the agents that see a unit; 0 for a unit that none sees."""
    weight = seen.reshape(*seen.shape, *(1,) * (values.ndim - 2))
    return jnp.where(weight, values, 0.0).sum(0) / jnp.maximum(weight.sum(0), 1)


@dataclasses.dataclass(frozen=True)
class NearestFirstView:
    """The view of a battle that shows the nearest enemy first (`mag.envs.nearest_first`)."""

    view: View

    @property
    def scene(self) -> Scene:
        """See `View.scene`."""
        return self.view.scene

    def frame(self, state: Any) -> Frame:
        """See `View.frame`; enemies have their numbers."""
        return self.view.frame(state.inner)

    def sight(self, obs: Float[Array, "agents obs"]) -> Sight:
        """See `View.sight`. Enemies are taken from the agent that sees most of them, in its order.

        Other agents' orders differ, so their sights of enemies cannot be compared with it: they count as unseen.
        """
        sight = self.view.sight(obs)
        allies = len(sight.seen)
        theirs = (jnp.arange(allies) == _eye(sight))[:, None] | (jnp.arange(sight.seen.shape[1]) < allies)
        return sight._replace(seen=sight.seen & theirs)


def by_number(sight: Sight, real: Frame) -> Sight:
    """The sight of `NearestFirstView` with its enemies renumbered: the agent's k-th nearest enemy, as seen, gets the
    number of the k-th nearest living enemy in the `real` frame.
    """
    allies = len(sight.seen)
    distance = jnp.linalg.norm(real.position[allies:] - real.position[_eye(sight)], axis=-1)
    rank = jnp.argsort(jnp.argsort(jnp.where(real.health[allies:] > 0, distance, jnp.inf)))
    columns = jnp.concatenate([jnp.arange(allies), allies + rank])
    seen, offset, health, shield = (x[:, columns] for x in sight[:4])
    return sight._replace(seen=seen, offset=offset, health=health, shield=shield)


def _eye(sight: Sight) -> Int[Array, ""]:
    """The agent that sees most enemies, the first of equals."""
    return sight.seen[:, len(sight.seen) :].sum(-1).argmax()
