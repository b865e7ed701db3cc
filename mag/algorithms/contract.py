"""What training, evaluation and watching need of an algorithm."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Int, PRNGKeyArray

from mag.algorithms.config import RunConfig
from mag.algorithms.mag.imagination import Imagination
from mag.envs import Env
from mag.learning.parallel import over_seeds, seed_keys
from mag.types import Episodes, Metrics, Step, TimeStep


@runtime_checkable
class Algorithm(Protocol):
    """What training, evaluation and watching need of an algorithm; they are written once against this.

    A `State` is a pytree of arrays with everything a run is made of: parameters, optimisers, replay, environment
    states, keys and counters. `init` and `act` are of one seed; `iteration` runs all seeds at once.
    """

    @property
    def env(self) -> Env:
        """What it plays."""
        ...

    @property
    def config(self) -> RunConfig:
        """What it was made from."""
        ...

    def memory(self) -> dict[str, int]:
        """Bytes that a run of one seed takes, estimated by part; `mag.runs.footprint.ADVICE` knows the parts."""
        ...

    def init(self, key: PRNGKeyArray) -> Any:
        """The state of one untrained run. The key is consumed."""
        ...

    def initial_state(self) -> Any:
        """The memory of one joint agent before its first time step."""
        ...

    def policy(self, state: Any) -> Any:
        """The part of a state that `act` needs."""
        ...

    def act(
        self, key: PRNGKeyArray, policy: Any, agent_state: Any, timestep: TimeStep, *, greedy: bool
    ) -> tuple[Int[Array, " agents"], Any]:
        """Choose the joint action of one environment, and remember. The key is consumed.

        Memory is reset where `timestep.first`.
        """
        ...

    def iteration(self, state: Any) -> tuple[Any, Metrics, Episodes, Int[Array, " seeds"]]:
        """Play and learn once, for all seeds; `state` and all results have a leading seed axis.

        Returns the new state (the old one is consumed), metrics, the episodes `[seeds, time, envs]` that ended
        and the number of environment transitions played.
        """
        ...


@runtime_checkable
class Imagines(Protocol):
    """What watching needs besides, to show what the models of a model-based algorithm expect."""

    def imagine(self, key: PRNGKeyArray, state: Any, episode: Step, *, observed: int) -> Imagination:
        """Predict a real episode `[time, ...]` from its first `observed` steps on, of one seed. The key is consumed."""
        ...


def init_seeds(algorithm: Algorithm) -> Any:
    """The states of all seeds of a run, with a leading seed axis."""
    config = algorithm.config
    return over_seeds(algorithm.init, config.num_seeds, workers=config.workers)(
        seed_keys(config.seed, config.num_seeds)
    )
