"""The contract of algorithms: what training and every command require of a method."""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from mag.algorithms.config import RunConfig
from mag.envs import EnvSpec
from mag.play.collecting import Played
from mag.play.episode import Agent
from mag.types import Arrival, Metrics

State = Any
"""Everything that a run learns, with optimiser states, data, keys and counters: a pytree of arrays."""
Play = Callable[[Key[Array, " seeds"], Agent], Played]
"""Line 3 of Algorithm 1: play an iteration's steps with an agent in the environments. The keys are consumed."""


@runtime_checkable
class Algorithm(Protocol):
    """A method. Keys, states, agents and metrics have a leading seed axis.

    Constructed from a configuration and the sizes of the environment: an algorithm never sees the environment itself.
    """

    @property
    def config(self) -> RunConfig:
        """The configuration that the algorithm was made from."""
        ...

    @property
    def spec(self) -> EnvSpec:
        """Sizes of the environment."""
        ...

    def footprint(self) -> dict[str, int]:
        """Estimated bytes of memory of a run of one seed, by part; `mag.runs.footprint.ADVICE` lists the parts."""
        ...

    def init(self, keys: Key[Array, " seeds"]) -> State:
        """The states of untrained runs. The keys are consumed."""
        ...

    def agent(self, state: State) -> Agent:
        """The joint policies that play, assembled from parts of the state; every array keeps its seed axis."""
        ...

    def iteration(self, state: State, play: Play) -> tuple[State, Metrics]:
        """Play once, then learn. The state is consumed; metrics are empty while there is too little to learn from."""
        ...


class Imagination(NamedTuple):
    """One real episode as a world model imagines it, `[time, ...]`."""

    obs: Float[Array, "time agents obs"]
    """Decoded observations: of the posterior while the episode is observed, of predictions from then on."""
    reward: Float[Array, " time"]
    """Predicted reward of the transition arriving at the step, mean over agents; 0 at the start."""
    continues: Float[Array, " time"]
    """Predicted probability that the episode goes on after that transition, mean over agents; where the models draw
    ends, 1 before an end and 0 from it on."""
    error: Float[Array, " time"]
    """Distance of `obs` from the real observation: smooth L1 summed over features, mean over agents."""
    one_step: Float[Array, " time"]
    """The same distance for predictions one step ahead of the posterior, where errors cannot accumulate.
    The first step has no prediction; there it is the distance of the posterior's observation."""


class ScoredRollout(NamedTuple):
    """A rollout of k steps in a world model from one real step; arrays `[k, ...]` belong to the states arrived at."""

    action: Int[Array, "k agents"]
    """The joint actions that led to these states, drawn by the policy in the states before."""
    obs: Float[Array, "k agents obs"]
    """Decoded observations."""
    alive: Bool[Array, "k agents"] | None
    """Which agents are alive; None if the world model does not know."""
    reward: Float[Array, " k"]
    """Predicted reward of the transition, mean over agents."""
    continues: Float[Array, " k"]
    """Predicted probability that the episode goes on after the transition; see `Imagination.continues`."""
    estimate: Float[Array, " k"]
    """Minus the model reward, divided by the number of agents: the mean error that R_m hat predicts or, with
    `model_reward.kind ratio`, an agent's share of the log ratio of predicted to true probability."""
    value: Float[Array, ""]
    """The critic's value of the real start state, mean over agents, in units of the environment's reward."""


@runtime_checkable
class ModelBased(Protocol):
    """An algorithm whose world model can be watched and measured. States have no seed axis unless stated."""

    def can_learn(self, state: State) -> bool:
        """Whether D_e holds enough to learn from; `state` has a seed axis."""
        ...

    def draw_sequences(self, key: PRNGKeyArray, state: State) -> Arrival:
        """A batch of sequences from D_e, `[batch, time, ...]`. The key is consumed."""
        ...

    def imagine(self, key: PRNGKeyArray, state: State, episode: Arrival, *, observed: int) -> Imagination:
        """Observe the first `observed` arrivals of a real episode `[time, ...]`, then predict. The key is consumed."""
        ...


@runtime_checkable
class CompilesAhead(Protocol):
    """An algorithm whose learning can be compiled while the first steps are played."""

    def compile_ahead(self, threads: Executor, keys: Key[Array, " seeds"]) -> None:
        """Begin to compile what an iteration that learns calls, in `threads`; `keys` are not used up."""
        ...


@runtime_checkable
class RollsOut(ModelBased, Protocol):
    """A model-based algorithm whose rollouts can be compared with the simulator."""

    @property
    def discount(self) -> float:
        """The discount of the critic's values."""
        ...

    def model_reward(self, key: PRNGKeyArray, state: State, *, afresh: bool = False) -> Any:
        """The first seed's model reward; with `afresh`, or if the algorithm learns none, one fitted to its world model
        as it is now.

        `state` has a seed axis. Do not call this under `jit`: it may train. The key is consumed.
        """
        ...

    def scored_rollout(
        self, key: PRNGKeyArray, state: State, model_reward: Any, past: Arrival, *, length: int
    ) -> ScoredRollout:
        """A rollout of `length` steps, as in lines 8-14, from the last of the real steps `past`, `[time, ...]`.

        `model_reward` estimates errors; planning uses the run's own, if it has one. The key is consumed.
        """
        ...
