"""Playing on the host while the algorithm learns.

Each call returns the items that were played while the algorithm last learned. The policy that played them is one
iteration older, which an algorithm that learns from a replay allows. The first call, also after a resume, plays its
own items.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from mag.envs import EnvSpec
from mag.learning.parallel import per_seed
from mag.play.collecting import Played
from mag.play.episode import Agent
from mag.play.host import HostPlayer, Players
from mag.types import Episodes

AHEAD = 0xA4EAD
"""Folded into the keys of one call to play the items of the next."""


class AheadPlayer:
    """A host player that begins to play the next items as soon as it returns some (`mag.play.player.Player`).

    The state that it returns is from before the items under way, so a resumed run plays their episodes again.
    """

    def __init__(self, player: HostPlayer) -> None:
        self._player = player
        self.num_seeds, self.workers = player.num_seeds, player.workers
        self._thread: ThreadPoolExecutor | None = None
        self._next: Future[tuple[Players, Played]] | None = None

    @property
    def spec(self) -> EnvSpec:
        """Sizes of the environment."""
        return self._player.spec

    def footprint(self) -> dict[str, int]:
        """See `Player.footprint`."""
        return self._player.footprint()

    def metrics(self) -> dict[str, Any]:
        """See `Player.metrics`."""
        return self._player.metrics()

    def close(self) -> None:
        """Drop what is being played, and end the thread and all processes."""
        self._drop()
        # The kernel kills what a thread has started when the thread ends, so processes are closed before it.
        self._player.close()
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def start(self, keys: Key[Array, " seeds"], agent: Agent) -> Players:
        """See `Player.start`."""
        self._drop()
        players: Players = self._player.start(keys, agent)
        return players

    def collect(self, keys: Key[Array, " seeds"], agent: Agent, players: Players) -> tuple[Players, Played]:
        """The items played since the last call, by that call's agent; begins to play the next ones. See `Player`."""
        if self._next is None:
            result = self._player.collect(keys, agent, players)
        else:
            result, self._next = self._next.result(), None
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="playing ahead")
        # Learning consumes the agent's arrays.
        copied = jax.tree.map(jnp.copy, agent)
        self._next = self._thread.submit(self._player.collect, self._keys_ahead(keys), copied, result[0])
        return result

    def test(self, keys: Key[Array, " seeds"], agent: Agent, episodes: int) -> Episodes:
        """See `Player.test`; playing ahead goes on meanwhile."""
        return self._player.test(keys, agent, episodes)

    def _drop(self) -> None:
        """Drop what is being played."""
        if self._next is not None:
            self._player.stop_collecting()
            self._next.exception()  # waits; an error is dropped with the items
            self._player.stop_collecting(False)
            self._next = None

    @per_seed()
    def _keys_ahead(self, key: Key[Array, ""]) -> Key[Array, ""]:
        return jax.random.fold_in(key, AHEAD)
