"""The contracts of environments and of families of environments."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from mag.errors import UsageError
from mag.types import TimeStep


@dataclasses.dataclass(frozen=True)
class Enemies:
    """Where observations and actions mention the enemies of a battle, numbered the same for all agents."""

    count: int
    first_feature: int
    """Index, in an observation, of the first enemy's first feature; the enemies follow one another."""
    features: int
    """Features of each enemy; all are zeros if the agent does not see it."""
    offset: int
    """Index, among an enemy's features, of the vector (dx, dy) from the agent to it; (0, 0) counts as unseen."""
    first_action: int
    """The action that attacks the first enemy; the others follow."""


@dataclasses.dataclass(frozen=True)
class EnvSpec:
    """Sizes and properties of an environment, the same for all agents."""

    name: str
    """`family/map`, as given to `make`."""
    n_agents: int
    obs_dim: int
    state_dim: int | None
    """Size of the global state; None if the environment shows none."""
    n_actions: int
    episode_limit: int
    """Steps after which an episode is truncated."""
    has_masks: bool
    """Whether some actions can be unavailable; if none can, no model learns to predict masks."""
    has_wins: bool
    """Whether an episode can be won; if not, reports leave win rates out."""
    reward_scale: float = 1.0
    """Factor on the rewards that algorithms learn from, so that one recipe fits all families. Recipe `tuned` of MAG and
    MAMBA cannot tell a reward beyond 21 from 21."""
    team_reward: bool = True
    """Whether the agents share one reward. If not, each has its own: they compete, or their interests are mixed.
    Methods with communication send messages to all agents, opponents included."""
    enemies: Enemies | None = None
    """Where observations and actions mention the enemies; None if it is not known, or if not all agents attack."""
    nearest_first: bool = False
    """Whether each agent's observation and attacks are in the order of the enemies' distance from it."""

    def __post_init__(self) -> None:
        """Raise UsageError where a size is below 1."""
        for name in ("n_agents", "obs_dim", "n_actions", "episode_limit"):
            if getattr(self, name) < 1:
                raise UsageError(f"{self.name}: the spec's {name} is {getattr(self, name)}; it must be at least 1")

    @property
    def reward_shape(self) -> tuple[int, ...]:
        """The shape of a time step's reward."""
        return () if self.team_reward else (self.n_agents,)


def others_of(count: int) -> Int[np.ndarray, "count others"]:
    """For each of `count` agents (or units), the indices of all others in order."""
    return np.array([[j for j in range(count) if j != i] for i in range(count)], int).reshape(count, count - 1)


def roles_of(agents: Sequence[str]) -> Float[np.ndarray, "agents roles"]:
    """Each agent's role one-hot, its name without its number; no columns if all agents have the same role."""
    names = [re.sub(r"_?\d+$", "", agent) for agent in agents]
    roles = list(dict.fromkeys(names)) if len(set(names)) > 1 else []
    return np.array([[name == role for role in roles] for name in names], np.float32).reshape(len(names), len(roles))


def count_actions(name: str, agent: str, space: Any) -> int:
    """How many actions `agent` of environment `name` has. UsageError unless `space` is discrete."""
    if not hasattr(space, "n"):
        raise UsageError(
            f"environment {name!r}: the actions of {agent!r} are of type {type(space).__name__}, and only Discrete "
            "ones can be played"
        )
    return int(space.n)


@runtime_checkable
class Env(Protocol):
    """A task with discrete actions. `step` takes and returns an opaque pytree of arrays.

    Shapes and dtypes of that pytree and of the time step are the same from `reset` and from every `step`, so
    that both can be carried through `lax.scan`.
    """

    @property
    def spec(self) -> EnvSpec:
        """Sizes, known before the first episode."""
        ...

    def reset(self, key: PRNGKeyArray) -> tuple[Any, TimeStep]:
        """The state and first time step of a new episode (`first` true, reward 0). The key is consumed."""
        ...

    def step(self, key: PRNGKeyArray, state: Any, action: Int[Array, " agents"]) -> tuple[Any, TimeStep]:
        """Play one joint action. Undefined after an end: the caller resets. The key is consumed."""
        ...


@runtime_checkable
class Family(Protocol):
    """A module that makes environments."""

    def specs(self) -> dict[str, EnvSpec]:
        """The spec of every map, by the map's name. Cheap: it is called to list maps and to check names."""
        ...

    def make(self, map_name: str) -> Env:
        """The environment of one of the maps in `specs`."""
        ...


@runtime_checkable
class TakesFiles(Protocol):
    """A family that also plays maps from a user's `.toml` files: a file's path takes the place of a map's name."""

    def content_of_file(self, path: str) -> dict[str, Any]:
        """All that decides how a file's map plays, as JSON. Raises UsageError if the file is missing or invalid."""
        ...

    def spec_from_content(self, map_name: str, content: dict[str, Any]) -> EnvSpec:
        """The spec, named `map_name`, of the map with this content. Raises UsageError if the content is invalid."""
        ...

    def make_from_content(self, map_name: str, content: dict[str, Any]) -> Env:
        """The environment of the map with this content. Raises as `spec_from_content`."""
        ...


@runtime_checkable
class Refuses(Protocol):
    """A family that says why it cannot make certain maps."""

    refusals: Mapping[str, str]
    """The reason for each regular expression; a map whose whole name matches the expression cannot be made."""


@runtime_checkable
class Notes(Protocol):
    """A family whose maps depend on more than their name and file, such as the version of an installed program."""

    def notes(self, map_name: str, content: dict[str, Any] | None) -> dict[str, Any]:
        """All else that decides how a map plays, as JSON. Raises UsageError if something needed is missing."""
        ...


@runtime_checkable
class Cautions(Protocol):
    """A family that may play otherwise than its published results: on another version of a game, for example."""

    def caution(self, map_name: str, content: dict[str, Any] | None) -> str | None:
        """A sentence to show before a map is played; None if there is nothing to say. Raises as `Notes.notes`."""
        ...
