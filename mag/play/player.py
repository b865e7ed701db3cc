"""Playing is separate from learning: a player holds the environments, plays an agent in them and tests it."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Key

from mag.envs import EnvSpec
from mag.play.collecting import Played
from mag.play.episode import Agent
from mag.types import Episodes

Players = Any
"""The environments being played, of all seeds: a pytree of arrays, saved with every checkpoint."""


@runtime_checkable
class Player(Protocol):
    """The contract of players; keys and agents have a leading seed axis."""

    @property
    def spec(self) -> EnvSpec:
        """Sizes of the environment."""
        ...

    def footprint(self) -> dict[str, int]:
        """Bytes for one seed, by part."""
        ...

    def metrics(self) -> dict[str, Any]:
        """Metrics of playing so far, such as failures, by name, `[seeds]`."""
        ...

    def close(self) -> None:
        """End all processes and threads. If the player is used again, its environments begin new episodes."""
        ...

    def start(self, keys: Key[Array, " seeds"], agent: Agent) -> Players:
        """Environments at the start of their first episodes. The keys are consumed."""
        ...

    def collect(self, keys: Key[Array, " seeds"], agent: Agent, players: Players) -> tuple[Players, Played]:
        """Line 3: a fixed number of items of each environment. Keys and players are consumed."""
        ...

    def test(self, keys: Key[Array, " seeds"], agent: Agent, episodes: int) -> Episodes:
        """Whole greedy episodes in separate environments, `[seeds, episodes]`. The keys are consumed."""
        ...
