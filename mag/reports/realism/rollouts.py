"""Rollouts in the world model, beside the real episodes that they start from and the simulator under their actions.

Whether imagination promises too much, the policy's own real play tells: actions chosen for imagined observations miss
in the simulator, attacks above all. Under these actions only observations are compared, step by step.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.algorithms.contract import RollsOut, ScoredRollout
from mag.envs import Env
from mag.learning.parallel import first_seed
from mag.play.episode import Agent, Episode, chosen_by, kept, step_episode, unexploring, where
from mag.play.testing import Trial, is_running, play_through, start_trial
from mag.runtime import compile_options
from mag.types import Arrival

STREAM = 0x4EA1
"""Folded into the seed's key, for keys that no run trains or tests with."""
PAST = 8
"""Real steps that the world model observes before a rollout starts from the last of them."""
STARTS = 4
"""Rollouts from each episode."""


class Steps(NamedTuple):
    """Steps of the simulator, `[k, ...]`; after the end of an episode its last step repeats."""

    arrivals: Arrival
    ended: Bool[Array, " k"]
    """Whether the episode is over at the step."""


class Comparison(NamedTuple):
    """Rollouts in the world model and steps of the simulator from the same states, `[rollouts, ...]`."""

    past: Arrival
    """The real steps before a rollout, which starts from the last one, `[rollouts, PAST, ...]`."""
    imagined: ScoredRollout
    played: Steps
    """The real episode's own next steps."""
    repeated: Steps
    """The simulator's steps under the rollout's joint actions."""
    decoded: Float[Array, "rollouts k agents obs"]
    """The observations of `repeated` once observed and decoded by the world model."""
    returns: Float[Array, " rollouts"]
    """The discounted return of the real episode from the rollout's start to the episode's end."""
    known: Bool[Array, " rollouts"]
    """Whether the real episode has `PAST` steps up to the rollout's start, and a step after the start."""
    cut: Bool[Array, " rollouts"]
    """Whether the time limit cut the real episode, which leaves its discounted return incomplete."""


def compare_rollouts(
    algorithm: RollsOut,
    agent: Agent,
    env: Env,
    state: Any,
    seed: int,
    rollouts: int,
    length: int,
    *,
    limit_ends: bool = False,
    afresh: bool = False,
) -> Comparison:
    """Rollouts of `length` steps from real episodes, and the simulator's steps from the same states.

    With `limit_ends` learning takes a time limit as an end, after which nothing is missing from a return. With `afresh`
    the errors are estimated by a model reward that is fitted now; planning keeps the run's own.
    """
    key_reward, key_play = jax.random.split(jax.random.fold_in(jax.random.key(seed), STREAM))
    model_reward = algorithm.model_reward(key_reward, state, afresh=afresh)

    def of_one_episode(key: PRNGKeyArray, state: Any, agent: Agent, model_reward: Any) -> Comparison:
        keys = jax.random.split(key, 2)
        played = play(keys[0], env, first_seed(agent), limit_ends=limit_ends)
        compare = partial(_compare, algorithm, env, first_seed(state), model_reward, played, length=length)
        return jax.vmap(compare)(jax.random.split(keys[1], STARTS))

    def all_episodes(keys: Array, state: Any, agent: Agent, model_reward: Any) -> Comparison:
        return jax.lax.map(lambda key: of_one_episode(key, state, agent, model_reward), keys)

    compiled = jax.jit(all_episodes, compiler_options=compile_options())
    keys = jax.random.split(key_play, -(-rollouts // STARTS))
    found = compiled(keys, state, agent, model_reward)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), found)


class RealEpisode(NamedTuple):
    """A real episode `[time, ...]`, whose last step repeats after its end."""

    episodes: Episode
    """The episode under way at each step, from which it can be continued otherwise."""
    arrivals: Arrival
    over: Bool[Array, " time"]
    """Whether the episode has ended at the step."""
    cut: Bool[Array, ""]
    """Whether the time limit cut the episode."""

    @property
    def rewards(self) -> Float[Array, " time"]:
        """The team's rewards; 0 where the last step repeats."""
        return jnp.where(over_before(self.over), 0.0, self.arrivals.rewards.mean(-1))


def over_before(ended: Bool[Array, "*rollouts time"]) -> Bool[Array, "*rollouts time"]:
    """Whether an episode is over before each step, from whether it is at the step."""
    return jnp.concatenate([jnp.zeros_like(ended[..., :1]), ended[..., :-1]], -1)


def play(key: PRNGKeyArray, env: Env, agent: Agent, *, limit_ends: bool = False) -> RealEpisode:
    """Play one episode, drawing actions as in rollouts. The key is consumed.

    With `limit_ends` a time limit is an end.
    """

    def show(trial: Trial) -> tuple[Episode, Arrival, Array]:
        episode = trial.episode
        return episode, kept(episode.timestep, episode.previous_action), ~is_running(trial)

    agent = unexploring(agent)
    start, choose = start_trial(key, env, agent), chosen_by(agent, greedy=False)
    last, (episodes, arrivals, over) = play_through(start, env=env, choose=choose, show=show)
    return RealEpisode(episodes, arrivals, over, ~last.timestep.terminated & (not limit_ends))


def next_steps(played: RealEpisode, time: Int[Array, ""], length: int) -> Steps:
    """The steps of a real episode after `time`."""
    index = jnp.minimum(time + 1 + jnp.arange(length), len(played.over) - 1)
    return Steps(jax.tree.map(lambda x: x[index], played.arrivals), played.over[index])


def repeat(key: PRNGKeyArray, env: Env, episode: Episode, actions: Array) -> Steps:
    """The simulator's steps under joint actions `[k, agents]`, from an episode under way.

    After the end the last arrival repeats. The key is consumed.
    """

    def step(episode: Episode, inputs: tuple) -> tuple[Episode, Steps]:
        key, action = inputs  # the actions are given: `choose` draws nothing
        after = step_episode(key, key, episode, env=env, choose=lambda _, episode: (action, episode.carry))
        episode = where(has_ended(episode), episode, after)
        return episode, Steps(kept(episode.timestep, episode.previous_action), has_ended(episode))

    return jax.lax.scan(step, episode, (jax.random.split(key, len(actions)), actions))[1]


def has_ended(episode: Episode) -> Bool[Array, ""]:
    """Whether an episode is over at its current time step."""
    return episode.timestep.terminated | episode.timestep.truncated


def _compare(
    algorithm: RollsOut,
    env: Env,
    state: Any,
    model_reward: Any,
    played: RealEpisode,
    key: PRNGKeyArray,
    *,
    length: int,
) -> Comparison:
    """One rollout from a step of a real episode, drawn uniformly. The key is consumed."""
    key_time, key_rollout, key_repeat, key_decode = jax.random.split(key, 4)
    steps = (~played.over).sum()  # those before the end
    time = jax.random.randint(key_time, (), PAST - 1, jnp.maximum(steps, PAST))
    past = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, time - PAST + 1, PAST), played.arrivals)
    imagined = algorithm.scored_rollout(key_rollout, state, model_reward, past, length=length)
    episode = jax.tree.map(lambda x: x[time], played.episodes)
    repeated = repeat(key_repeat, env, episode, imagined.action)
    whole = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), past, repeated.arrivals)
    decoded = algorithm.imagine(key_decode, state, whole, observed=PAST + length).obs[PAST:]
    ahead = jnp.arange(len(played.over)) - time
    discount = jnp.where(ahead > 0, algorithm.discount ** (ahead - 1.0), 0.0)
    returns = (played.rewards * discount).sum()
    own = next_steps(played, time, length)
    return Comparison(past, imagined, own, repeated, decoded, returns, time < steps, played.cut)
