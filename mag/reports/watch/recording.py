"""Recordings of greedy episodes, and recording in host environments, in this process, step by step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from mag.envs.host import HostEnv, record_of, time_steps
from mag.envs.view import Frame
from mag.errors import PlayError, UsageError
from mag.play.episode import Agent, kept
from mag.play.host import act_in_trial, begin_trial, test_seed
from mag.types import Arrival, Episodes, TimeStep


class Recording(NamedTuple):
    """One episode `[time, ...]` from its start to its end, padded to the episode limit by repeating the last step."""

    frames: Frame
    arrivals: Arrival
    """Arrivals as D_e stores them: where the episode really ended, nothing is observed."""
    result: Episodes


def record_on_host(env: HostEnv, agent: Agent, key: PRNGKeyArray, episodes: int) -> Recording:
    """Play `episodes` greedy episodes, `[episodes, time, ...]`, with the seeds that tests in `mag.play.host` use.

    The key is consumed. Raises PlayError where the environment breaks.
    """
    try:
        played = [record_host_episode(env, agent, key, number, episodes) for number in range(episodes)]
    except UsageError:
        raise
    except Exception as error:
        line = next(iter(str(error).splitlines()), "")
        raise PlayError(
            f"{env.spec.name} failed while it was watched ({type(error).__name__}: {line}); give the command again, "
            "or mend the environment"
        ) from error
    return jax.tree.map(lambda *each: np.stack(each), *played)


def record_host_episode(env: HostEnv, agent: Agent, key: PRNGKeyArray, number: int, episodes: int) -> Recording:
    """Play one greedy episode: number `number` of a test of `episodes` with this key.

    A loop of its own: `mag.play.episode` compiles its steps, and the processes of `mag.play.host` show no units.
    """
    view: Any = env.view  # type: ignore[attr-defined]
    trial = begin_trial(jax.random.split(key, episodes)[number], agent)
    shown = checked(env, env.reset(test_seed(key, number)))
    action = np.full(env.spec.n_agents, -1, np.int32)
    moments = [(view.frame(env), item(shown, action))]
    while not (shown.terminated or shown.truncated):
        chosen, trial = _act(trial, agent, shown)
        action = np.asarray(chosen)
        shown = checked(env, env.step(action))
        moments.append((view.frame(env), item(shown, action)))
    length = len(moments) - 1
    returns = np.sum([arrived.reward for _, arrived in moments], axis=0, dtype=np.float32)
    result = Episodes(*map(jnp.asarray, (True, shown.won, returns, length)))
    last = [moments[-1]] * (env.spec.episode_limit - length)
    frames, arrivals = jax.tree.map(lambda *each: np.stack(each), *moments, *last)
    return Recording(frames, arrivals, result)


def checked(env: HostEnv, shown: TimeStep) -> TimeStep:
    """The time step, if it fits the spec. Raises ContractError where it does not."""
    batch = time_steps(record_of(env.spec, shown)[None])
    return jax.tree.map(lambda x: jnp.asarray(x[0]), batch)


def item(shown: TimeStep, action: np.ndarray) -> Arrival:
    """The item that D_e would store for a time step."""
    return jax.tree.map(np.asarray, kept(shown, jnp.asarray(action)))


_act = jax.jit(act_in_trial)
