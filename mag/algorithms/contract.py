"""The contract of algorithms: how to learn from what a player plays, and what every command asks of a method."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from mag.algorithms.config import RunConfig
from mag.envs import EnvSpec
from mag.play.collecting import Played
from mag.play.episode import Agent
from mag.types import Arrival, Metrics

State = Any
"""Everything that is learned, with its optimisers, data, keys and counters: a pytree of arrays."""
Play = Callable[[Key[Array, " seeds"], Agent], Played]
"""Line 3 of Algorithm 1: play an agent in the environments for a while. The keys are consumed."""


@runtime_checkable
class Algorithm(Protocol):
    """A method. States, agents and metrics have a leading seed axis, as do keys.

    Constructed from a configuration and the sizes of the environment: an algorithm never sees the environment itself.
    """

    @property
    def config(self) -> RunConfig:
        """The configuration it was made from."""
        ...

    @property
    def spec(self) -> EnvSpec:
        """Sizes of the environment."""
        ...

    def footprint(self) -> dict[str, int]:
        """Bytes that a run of one seed takes, estimated by part; `mag.runs.footprint.ADVICE` knows the parts."""
        ...

    def init(self, keys: Key[Array, " seeds"]) -> State:
        """The states of untrained runs. The keys are consumed."""
        ...

    def agent(self, state: State) -> Agent:
        """The joint policies that play: parts of the state, nothing is computed from arrays of one seed only."""
        ...

    def iteration(self, state: State, play: Play) -> tuple[State, Metrics]:
        """Play once and learn from it. The state is consumed; no metrics where nothing was learned yet."""
        ...


class Imagination(NamedTuple):
    """One real episode as a world model imagines it, `[time, ...]`."""

    obs: Float[Array, "time agents obs"]
    """Decoded observations: of the posterior while the episode is observed, of predictions from then on."""
    reward: Float[Array, " time"]
    """Predicted reward of the transition arriving at the step, mean over agents; 0 at the start."""
    continues: Float[Array, " time"]
    """Predicted probability that the episode goes on after that transition, mean over agents."""
    error: Float[Array, " time"]
    """Distance of `obs` from the real observation: smooth L1 summed over features, mean over agents."""
    one_step: Float[Array, " time"]
    """The same distance for predictions one step ahead of the posterior, where errors cannot accumulate.
    At the first step, which nothing predicts, it is that of the posterior."""


class Venture(NamedTuple):
    """A rollout of the joint policy in a world model from one real step on, `[k, ...]`, of the states arrived at."""

    action: Int[Array, "k agents"]
    """The joint actions that led there, drawn by the policy from imagined states."""
    obs: Float[Array, "k agents obs"]
    """Decoded observations."""
    alive: Bool[Array, "k agents"] | None
    """The agents that live; None if the world model does not know."""
    reward: Float[Array, " k"]
    """Predicted reward of the transition, mean over agents."""
    continues: Float[Array, " k"]
    """Predicted probability that the episode goes on after the transition, mean over agents."""
    estimate: Float[Array, " k"]
    """The error that the model reward expects there: minus the model reward, mean over agents."""
    value: Float[Array, ""]
    """The critic's value of the real step, mean over agents, in units of the environment's reward."""


@runtime_checkable
class ModelBased(Protocol):
    """An algorithm with a world model, whose imagination can be watched and measured. All is of one seed."""

    def can_learn(self, state: State) -> bool:
        """Whether D_e, of all seeds, holds enough to learn from."""
        ...

    def draw_sequences(self, key: PRNGKeyArray, state: State) -> Arrival:
        """A batch of sequences of D_e, `[batch, time, ...]`. The key is consumed."""
        ...

    def imagine(self, key: PRNGKeyArray, state: State, episode: Arrival, *, observed: int) -> Imagination:
        """A real episode `[time, ...]` predicted from its first `observed` arrivals on. The key is consumed."""
        ...


@runtime_checkable
class Venturing(ModelBased, Protocol):
    """A model-based algorithm whose rollouts can be compared with the simulator."""

    @property
    def discount(self) -> float:
        """The discount of the critic's values."""
        ...

    def model_reward(self, key: PRNGKeyArray, state: State) -> Any:
        """The model reward of a state of all seeds, or, where the algorithm learns none, one fitted to its world model.

        Not to be called under `jit`: it may train. The result is of the first seed. The key is consumed.
        """
        ...

    def venture(self, key: PRNGKeyArray, state: State, model_reward: Any, past: Arrival, *, length: int) -> Venture:
        """A rollout as in lines 8-14, of `length` steps from the last of the real steps `past` on.

        The key is consumed.
        """
        ...
