"""Battles to watch: greedy episodes with everything to draw, and the same episodes as the models imagine them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from mag.algorithms.contract import Algorithm, Imagination, ModelBased
from mag.envs.host import HostEnv
from mag.envs.view import NOBODY, Frame, by_number, place
from mag.learning.parallel import first_seed
from mag.play.episode import Agent, chosen_by, kept, result
from mag.play.testing import Trial, play_through, start_trial
from mag.reports.diagnose import OBSERVED
from mag.reports.watch.recording import Recording, record_on_host
from mag.runtime import compile_options
from mag.types import Arrival

IMAGINATION = 0x1DEA
"""Folded into a battle's key, so that play and imagination use different keys."""


class Imagined(NamedTuple):
    """A battle as the models imagined it, `[time, ...]`, with their errors."""

    frames: Frame
    prediction: Imagination


class Battle(NamedTuple):
    """One battle to be watched, in NumPy arrays of its length."""

    real: Recording
    fired: Bool[np.ndarray, "time units"]
    """Whether the unit fired in the step that led to this time."""
    imagined: Imagined | None
    """None where the algorithm has no models."""


def battles(algorithm: Algorithm, env: Any, state: Any, key: PRNGKeyArray, episodes: int) -> list[Battle]:
    """Play `episodes` greedy episodes of a state's first seed: the first ones that `mag evaluate` plays with this key.

    The environment must have a view; a host environment is played in this process. The key is consumed.
    """
    keys = jax.random.split(key, episodes)

    def play(agent: Any, keys: Array) -> Recording:
        return jax.vmap(lambda key: record_episode(env, first_seed(agent), key))(keys)

    def imagine(state: Any, keys: Array, recordings: Recording) -> Imagined:
        def one(inputs: tuple[PRNGKeyArray, Recording]) -> Imagined:
            key, recording = inputs
            key = jax.random.fold_in(key, IMAGINATION)
            assert isinstance(algorithm, ModelBased)
            prediction = algorithm.imagine(key, first_seed(state), recording.arrivals, observed=OBSERVED)
            return Imagined(imagined_frames(env, prediction, recording.frames), prediction)

        return jax.lax.map(one, (keys, recordings))

    agent = algorithm.agent(state)
    if isinstance(env, HostEnv):
        recordings = record_on_host(env, jit(first_seed)(agent), key, episodes)
    else:
        recordings = jit(play)(agent, keys)
    imagined = jit(imagine)(state, keys, recordings) if isinstance(algorithm, ModelBased) else None
    found = jax.device_get((recordings, imagined))
    return [_battle(*jax.tree.map(lambda x, index=index: x[index], found)) for index in range(episodes)]


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` compiled as in training."""
    return jax.jit(function, compiler_options=compile_options())


def record_episode(env: Any, agent: Agent, key: PRNGKeyArray) -> Recording:
    """Play one greedy episode, as tests do. The key is consumed."""

    def show(trial: Trial) -> tuple[Frame, Arrival]:
        episode = trial.episode
        return env.view.frame(episode.env_state), kept(episode.timestep, episode.previous_action)

    start, choose = start_trial(key, env, agent), chosen_by(agent, greedy=True)
    last, (frames, arrivals) = play_through(start, env=env, choose=choose, show=show)
    return Recording(frames, arrivals, result(last, jnp.ones((), bool)))


def imagined_frames(env: Any, prediction: Imagination, real: Frame) -> Frame:
    """The decoded observations as units; from the end that the models expect, the last frame repeats.

    Only the allies' targets are known, from the given actions.
    """
    view, scene = env.view, env.view.scene

    def frame(obs: Array, real: Frame) -> Frame:
        sight = view.sight(obs)
        imagined = place(by_number(sight, real) if env.spec.nearest_first else sight, real, scene)
        return imagined._replace(target=imagined.target.at[scene.allies :].set(NOBODY))

    frames = jax.vmap(frame)(prediction.obs, real)
    last = imagined_end(prediction) - 1
    time = jnp.minimum(jnp.arange(len(prediction.error)), last)
    return jax.tree.map(lambda x: x[time], frames)


def imagined_end(prediction: Imagination) -> Int[Array, ""]:
    """The first step at which the models expect the episode to be over; the number of steps if there is none."""
    over = prediction.continues < 0.5
    return jnp.where(over.any(), over.argmax(), len(over))


def _battle(real: Recording, imagined: Imagined | None) -> Battle:
    """One battle, cut to its length."""
    moments = int(real.result.length) + 1
    frames, arrivals, imagined = jax.tree.map(lambda x: x[:moments], (real.frames, real.arrivals, imagined))
    rose = np.diff(frames.cooldown, axis=0, prepend=np.inf) > 0
    return Battle(Recording(frames, arrivals, real.result), rose, imagined)


def outcome(battle: Battle) -> str:
    """How the battle ended."""
    if battle.real.result.won:
        return "won"
    return "undecided" if battle.real.arrivals.continues[-1] else "lost"
