"""Recording of items on the host: `mag.play.collecting` in NumPy, for all environments of a run."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Int

from mag.envs import EnvSpec
from mag.envs.host import record_type, time_steps
from mag.play.collecting import Played
from mag.types import Arrival, Episodes


class Moments:
    """The current item of each environment, `[envs]`; see `mag.play.collecting.Collector`."""

    def __init__(self, spec: EnvSpec, num_envs: int, *, limit_ends: bool = False) -> None:
        self.limit_ends = limit_ends
        """Whether a time limit is recorded as an end."""
        self.shown = np.zeros(num_envs, record_type(spec))
        """The time steps as records."""
        self.previous_action = np.full((num_envs, spec.n_agents), -1, np.int32)
        self.absorbing = np.zeros(num_envs, np.int32)
        self.returns = np.zeros((num_envs, *spec.reward_shape), np.float32)
        self.length = np.zeros(num_envs, np.int32)

    def start_episode(self, env: int, shown: np.void) -> None:
        """The start of an episode."""
        self.shown[env] = shown
        self.previous_action[env], self.absorbing[env] = -1, 0
        self.returns[env], self.length[env] = 0.0, 0

    def step(self, env: int, shown: np.void) -> None:
        """A transition; an end is shown in its absorbing form."""
        self.shown[env] = shown
        if self.limit_ends and shown["truncated"]:
            self.shown["terminated"][env], self.shown["truncated"][env] = True, False
        self.returns[env] += shown["reward"]
        self.length[env] += 1
        if self.shown["terminated"][env]:
            self.absorbing[env] = 1
            for name, value in (("obs", 0), ("avail", True), ("alive", False), ("state", 0)):
                if name in (self.shown.dtype.names or ()):
                    self.shown[name][env] = value

    def absorb(self, env: int) -> None:
        """The second absorbing item."""
        self.absorbing[env] = 2
        self.shown["reward"][env] = 0.0

    def is_over(self, env: int) -> bool:
        """Whether the next item is the start of another episode."""
        return bool(self.shown["truncated"][env] or self.absorbing[env] == 2)


class Items:
    """`steps` items of each environment, `[envs, time]`, filled one by one."""

    def __init__(self, spec: EnvSpec, num_envs: int, steps: int) -> None:
        shape = (num_envs, steps)
        self.count = np.zeros(num_envs, np.int32)
        self._steps = steps
        self._since = np.zeros(num_envs, np.int32)
        """The number of items before the episode under way."""
        self._columns = {
            "shown": np.zeros(shape, record_type(spec)),
            "previous_action": np.zeros((*shape, spec.n_agents), np.int32),
            "absorbing": np.zeros(shape, np.int32),
            "returns": np.zeros((*shape, *spec.reward_shape), np.float32),
            "length": np.zeros(shape, np.int32),
        }

    @property
    def are_lacking(self) -> Bool[np.ndarray, " envs"]:
        """Which environments have fewer items than are asked for."""
        return self.count < self._steps

    def start_episode(self, env: int) -> None:
        """An episode starts with the next item."""
        self._since[env] = self.count[env]

    def drop(self, env: int) -> None:
        """Forget this call's items of the episode under way."""
        self.count[env] = self._since[env]

    def append(self, moments: Moments, active: Bool[np.ndarray, " envs"]) -> None:
        """Note the current item of the active environments."""
        envs = np.flatnonzero(active)
        for name, column in self._columns.items():
            column[envs, self.count[envs]] = getattr(moments, name)[envs]
        self.count[envs] += 1

    def played(self, moments: Moments, carry: Any, num_seeds: int) -> Played:
        """All items in the form that players return; `moments` are the items that follow."""
        arrivals, episodes, transitions = _recorded(**self._columns)
        last, _, last_transition = _recorded(**{name: getattr(moments, name)[:, None].copy() for name in self._columns})
        has_next = np.concatenate([transitions[:, 1:], last_transition], axis=1)

        def by_seed(arrays: Any) -> Any:
            return jax.tree.map(lambda x: x.reshape(num_seeds, -1, *x.shape[1:]), arrays)

        after: list[Any] = [None if each is None else each[:, 0] for each in last]
        return Played(
            carry=carry,
            arrivals=by_seed(arrivals),
            episodes=by_seed(episodes),
            transitions=by_seed(transitions),
            has_next=by_seed(has_next),
            last=by_seed(Arrival(*after)),
        )


def _recorded(
    shown: np.ndarray,
    previous_action: Int[np.ndarray, "envs time agents"],
    absorbing: Int[np.ndarray, "envs time"],
    returns: np.ndarray,
    length: Int[np.ndarray, "envs time"],
) -> tuple[Any, Any, Any]:
    """Arrivals, ended episodes, and which items a transition led to."""
    seen = time_steps(shown)
    arrivals: dict[str, Any] = {name: getattr(seen, name) for name in Arrival._fields if hasattr(seen, name)}
    arrivals |= {"previous_action": previous_action, "continues": 1.0 - np.asarray(seen.terminated, np.float32)}
    arrivals["obs"] = np.where(seen.alive[..., None], seen.obs, 0)  # as `mag.play.episode.arrival`
    ended = (shown["terminated"] & (absorbing == 1)) | shown["truncated"]
    episodes: dict[str, Any] = {"ended": ended, "won": ended & shown["won"], "returns": returns, "length": length}
    return Arrival(**arrivals), Episodes(**episodes), ~shown["first"] & (absorbing < 2)
