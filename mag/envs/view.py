"""How battles are looked at: what is to be drawn of an environment's state, and of what its agents observe.

An environment whose battles can be drawn has an attribute `view` (`View`); `mag watch` asks for nothing more.
Units are numbered allies first, in the order of the agents, then enemies; lengths are those of the map.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

FAMILIES = ("smac_jax", "smax")
"""The package's own families whose environments have a view."""
NOBODY = -1
"""The target of a unit that attacks none."""

Rectangle = tuple[float, float, float, float]
"""Left, bottom, right and top."""


class Kind(NamedTuple):
    """A type of units. Health and shield are a fresh unit's points; the shield is 0 where it has none."""

    name: str
    radius: float
    health: float
    shield: float


class Scene(NamedTuple):
    """What stays the same from battle to battle."""

    width: float
    height: float
    walls: tuple[Rectangle, ...]
    """Ground that nobody enters."""
    cliffs: tuple[Rectangle, ...]
    """Ground that only climbing units enter."""
    kinds: tuple[Kind, ...]
    allies: int
    """How many units are allies: the first ones."""


class Frame(NamedTuple):
    """The units at one moment of a battle; the dead have no health."""

    kind: Int[Array, " units"]
    """Index of the unit's type in `Scene.kinds`."""
    position: Float[Array, "units 2"]
    health: Float[Array, " units"]
    shield: Float[Array, " units"]
    target: Int[Array, " units"]
    """The unit attacked in the step that led here, NOBODY for none."""
    cooldown: Float[Array, " units"]
    """Seconds until the weapon is ready. It rises in a step if, and only if, the weapon was fired in it, unless
    weapons reload within a step: then it may hide a shot. Those of the package's families do not."""


class Sight(NamedTuple):
    """What the agents' observations tell of every unit, row by row; an agent is a unit in its own row, too."""

    seen: Bool[Array, "agents units"]
    offset: Float[Array, "agents units 2"]
    """From the agent to the unit; means nothing where not `seen`, as do the next two."""
    health: Float[Array, "agents units"]
    """Share of a fresh unit's."""
    shield: Float[Array, "agents units"]
    own_position: Float[Array, "agents 2"] | None
    """Where the agents are on the map; None where observations do not tell."""


@runtime_checkable
class View(Protocol):
    """Draws one environment."""

    @property
    def scene(self) -> Scene:
        """What stays the same."""
        ...

    def frame(self, state: Any) -> Frame:
        """The units in a state of the environment."""
        ...

    def sight(self, obs: Float[Array, "agents obs"]) -> Sight:
        """Read a joint observation, which may be a model's: features that are nearly zero count as zero."""
        ...


LEAST_HEALTH = 0.01
"""Share of its health that a unit has at least where it is seen: models may think little of it, or less than none."""


def place(sight: Sight, real: Frame, scene: Scene) -> Frame:
    """The units as a joint observation describes them: means over the agents that see them; the unseen are dead.

    Where observations do not tell an agent's own position (SMAC's do not) it looks from its place in the `real`
    frame, so that only what lies relative to it can be wrong; an ally is then where the others see it, and in its
    real place if none does. Types, targets and cooldowns are those of `real`, as are the places of the unseen.
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
    """Means over the agents that see a unit, 0 where none does."""
    weight = seen.reshape(*seen.shape, *(1,) * (values.ndim - 2))
    return jnp.where(weight, values, 0.0).sum(0) / jnp.maximum(weight.sum(0), 1)
