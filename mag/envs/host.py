"""Environments that live on the host: plain Python and NumPy, which JAX cannot trace.

A family of host environments is a module like any other (`mag.envs.Family`) with `host = True`, whose `make` returns a
`HostEnv`. Its environments are played in processes of their own (`mag.play.host`), so they may be slow, crash or hang,
and do not need JAX:

    host = True

    def specs():
        return {"mine": EnvSpec(name="my_tasks/mine", n_agents=2, obs_dim=4, ...)}

    def make(map_name):
        return MyEnv()            # with spec, reset(seed), step(action) and close()

`mag train --env my_tasks/mine` plays it. A time step has the same fields and shapes as in JAX
(`mag.types.TimeStep`); `time_step` fills in the fields that a task does not have.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from mag.envs.contract import EnvSpec
from mag.types import TimeStep


@runtime_checkable
class HostEnv(Protocol):
    """One task with discrete actions, played one episode at a time."""

    @property
    def spec(self) -> EnvSpec:
        """Sizes, known before anything is played."""
        ...

    def reset(self, seed: int) -> TimeStep:
        """Begin a new episode, all of whose randomness comes from `seed`, and return its first time step."""
        ...

    def step(self, action: Int[np.ndarray, " agents"]) -> TimeStep:
        """Play one joint action and return the next time step, which is `truncated` at the episode limit.

        Undefined after an end: the caller resets. After an exception the episode is broken off and the environment is
        made again.
        """
        ...

    def close(self) -> None:
        """Release all that the environment holds: processes, files, connections."""
        ...


class ContractError(Exception):
    """An environment returned a time step that its spec does not allow; a restart would not help."""


def time_step(
    spec: EnvSpec,
    *,
    obs: Float[np.ndarray, "agents obs"],
    avail: Bool[np.ndarray, "agents actions"] | None = None,
    alive: Bool[np.ndarray, " agents"] | None = None,
    reward: float | Float[np.ndarray, " agents"] = 0.0,
    first: bool = False,
    terminated: bool = False,
    truncated: bool = False,
    won: bool = False,
    state: Float[np.ndarray, " state"] | None = None,
) -> TimeStep:
    """A time step of NumPy arrays. By default every action is available and every agent alive."""
    fields: dict[str, Any] = {
        "obs": np.asarray(obs, np.float32),
        "avail": np.ones((spec.n_agents, spec.n_actions), bool) if avail is None else np.asarray(avail, bool),
        "alive": np.ones(spec.n_agents, bool) if alive is None else np.asarray(alive, bool),
        "reward": np.full(spec.reward_shape, reward, np.float32),
        "first": np.bool_(first),
        "terminated": np.bool_(terminated),
        "truncated": np.bool_(truncated and not terminated),
        "won": np.bool_(won),
        "state": None if state is None else np.asarray(state, np.float32),
    }
    return TimeStep(**fields)


def record_type(spec: EnvSpec) -> np.dtype:
    """NumPy's structured type for time steps of `spec`: a record is one time step, an array of records a batch."""
    fields: list[Any] = [
        ("obs", np.float32, (spec.n_agents, spec.obs_dim)),
        ("avail", np.bool_, (spec.n_agents, spec.n_actions)),
        ("alive", np.bool_, (spec.n_agents,)),
        ("reward", np.float32, spec.reward_shape),
        ("first", np.bool_),
        ("terminated", np.bool_),
        ("truncated", np.bool_),
        ("won", np.bool_),
    ]
    return np.dtype(fields + ([] if spec.state_dim is None else [("state", np.float32, (spec.state_dim,))]))


def record_of(spec: EnvSpec, shown: TimeStep) -> np.ndarray:
    """The time step `shown` as a record. Raises ContractError if its shapes, types or values do not fit `spec`."""
    wanted = record_type(spec)
    record = np.zeros((), wanted)
    for name in TimeStep._fields:
        value = getattr(shown, name)
        if name not in (wanted.names or ()):
            if value is not None:
                raise ContractError(f"{spec.name} shows a {name}, which its spec does not have (state_dim is None)")
            continue
        array, shape = np.asarray(value), wanted[name].shape
        if array.shape != shape or not np.can_cast(array.dtype, wanted[name].base, "same_kind"):
            raise ContractError(
                f"{spec.name} shows {name} as {array.dtype}{list(array.shape)}; "
                f"its spec says {wanted[name].base}{list(shape)}"
            )
        record[name] = array
        if not np.isfinite(record[name]).all():
            wrong = array[~np.isfinite(record[name])].flat[0]
            raise ContractError(f"{spec.name} shows {name} with the value {wrong}; all have to be finite numbers")
    if not record["avail"].any(axis=-1).all():
        agent = int(np.argmin(record["avail"].any(axis=-1)))
        raise ContractError(f"{spec.name} leaves agent {agent} without an available action; each needs at least one")
    if record["terminated"] and record["truncated"]:
        raise ContractError(
            f"{spec.name} shows a time step that is both `terminated` and `truncated`; an end at the time limit is "
            "`terminated` alone"
        )
    return record


def time_steps(records: np.ndarray) -> TimeStep:
    """A batch of records as a time step whose arrays have the batch's axes in front."""
    names = records.dtype.names or ()
    fields: list[Any] = [np.ascontiguousarray(records[name]) if name in names else None for name in TimeStep._fields]
    return TimeStep(*fields)
