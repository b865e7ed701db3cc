"""Battles that show each agent its nearest enemy first (`collect.nearest_first`).

SMAC numbers the enemies once for a whole battle. Where many are alike, the number says little and the distance nearly
all: an agent can find out which enemy is near only by comparing all of them, and a world model has to keep every
enemy's position for it. Here the enemies in an agent's observation, and its actions that attack them, are in the order
of their distance from the agent, unseen enemies last: action `first_action` attacks the nearest. Two things are lost:
which enemy of one step is which in the next, and which enemies of two agents are the same one. The global state, and
the last targets that SMAX shows of allies, keep the battle's numbers.

It is a fixed order in place of networks that do not depend on the order of units, such as Hao et al.'s (ICLR 2023,
"Boosting multiagent reinforcement learning via permutation invariant and permutation equivariant networks").

The functions take arrays of NumPy (environments on the host) or of JAX.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from mag.envs.contract import Enemies, Env, EnvSpec
from mag.envs.host import record_of
from mag.errors import UsageError
from mag.types import TimeStep


def with_nearest_first(spec: EnvSpec) -> EnvSpec:
    """The spec of the same environment with the nearest enemy first.

    Raises UsageError where the spec does not say which features are an enemy's.
    """
    if spec.enemies is None:
        raise UsageError(
            f"collect.nearest_first is true, but {spec.name} does not tell which features of an observation are an "
            "enemy's; smac_jax, smaclite, smax and starcraft do, except where the team has Medivacs "
            "(`EnvSpec.enemies`); give --collect.nearest-first false"
        )
    return dataclasses.replace(spec, nearest_first=True)


def order_of(enemies: Enemies, obs: Float[Any, "agents obs"]) -> Int[Any, "agents enemies"]:
    """The numbers of the enemies in each agent's order: by distance, then those that it does not see."""
    offset = _per_enemy(enemies, obs)[..., enemies.offset : enemies.offset + 2]
    distance = (offset**2).sum(-1)
    xp = _arrays(obs)
    return xp.argsort(xp.where(distance > 0, distance, np.inf), axis=-1, stable=True)


def in_order(enemies: Enemies, order: Int[Any, "agents enemies"], timestep: TimeStep) -> TimeStep:
    """The time step with enemies and attacks in each agent's order."""
    xp, obs, avail = _arrays(order), timestep.obs, timestep.avail
    end, first = enemies.first_feature + enemies.count * enemies.features, enemies.first_action
    shown = xp.take_along_axis(_per_enemy(enemies, obs), order[..., None], 1).reshape(len(obs), -1)
    attacks = xp.take_along_axis(avail[:, first : first + enemies.count], order, 1)
    return timestep._replace(
        obs=xp.concatenate([obs[:, : enemies.first_feature], shown, obs[:, end:]], 1),
        avail=xp.concatenate([avail[:, :first], attacks, avail[:, first + enemies.count :]], 1),
    )


def as_numbered(
    enemies: Enemies, order: Int[Any, "agents enemies"], action: Int[Any, " agents"]
) -> Int[Any, " agents"]:
    """The joint action as the environment numbers it, from one that counts enemies in each agent's order."""
    xp, rank = _arrays(order), action - enemies.first_action
    meant = xp.take_along_axis(order, rank.clip(0, enemies.count - 1)[:, None], 1)[:, 0]
    attacks = (rank >= 0) & (rank < enemies.count)
    return xp.where(attacks, enemies.first_action + meant, action).astype(action.dtype)


def _per_enemy(enemies: Enemies, obs: Float[Any, "agents obs"]) -> Float[Any, "agents enemies features"]:
    end = enemies.first_feature + enemies.count * enemies.features
    return obs[:, enemies.first_feature : end].reshape(len(obs), enemies.count, enemies.features)


def _arrays(array: Any) -> Any:
    """The functions for an array's kind; JAX is not imported for NumPy's, in the processes of host environments."""
    return array.__array_namespace__()


class Ordered(NamedTuple):
    """A state of the environment, and the order in which it is shown."""

    inner: Any
    order: Int[Array, "agents enemies"]


class NearestFirst:
    """An environment in JAX that shows each agent its nearest enemy first."""

    def __init__(self, env: Env) -> None:
        """Raises UsageError where the spec does not say which features are an enemy's."""
        self.env, self.spec = env, with_nearest_first(env.spec)
        self.enemies: Any = self.spec.enemies

    @property
    def view(self) -> Any:
        """The battles' view (`mag.envs.view`); None where the environment has none."""
        return _view_of(self.env)

    def reset(self, key: PRNGKeyArray) -> tuple[Ordered, TimeStep]:
        """See `Env.reset`."""
        return self._show(*self.env.reset(key))

    def step(self, key: PRNGKeyArray, state: Ordered, action: Int[Array, " agents"]) -> tuple[Ordered, TimeStep]:
        """See `Env.step`; attacks are counted in the order of the last time step."""
        return self._show(*self.env.step(key, state.inner, as_numbered(self.enemies, state.order, action)))

    def _show(self, inner: Any, timestep: TimeStep) -> tuple[Ordered, TimeStep]:
        order = order_of(self.enemies, timestep.obs)
        return Ordered(inner, order), in_order(self.enemies, order, timestep)


class HostNearestFirst:
    """A host environment that shows each agent its nearest enemy first."""

    def __init__(self, env: Any) -> None:
        """Wrap a `mag.envs.host.HostEnv`. Raises UsageError as `with_nearest_first`."""
        self.inner, self.spec = env, with_nearest_first(env.spec)
        self.enemies: Any = self.spec.enemies
        self.order: Any = None

    @property
    def view(self) -> Any:
        """The battles' view (`mag.envs.view`); None where the environment has none."""
        return _view_of(self.inner)

    def reset(self, seed: int) -> TimeStep:
        """See `HostEnv.reset`."""
        return self._show(self.inner.reset(seed))

    def step(self, action: Int[np.ndarray, " agents"]) -> TimeStep:
        """See `HostEnv.step`; attacks are counted in the order of the last time step."""
        return self._show(self.inner.step(as_numbered(self.enemies, self.order, action)))

    def close(self) -> None:
        """See `HostEnv.close`."""
        self.inner.close()

    def _show(self, timestep: TimeStep) -> TimeStep:
        record_of(self.inner.spec, timestep)  # tells what is wrong with a time step of another shape
        self.order = order_of(self.enemies, np.asarray(timestep.obs))
        return in_order(self.enemies, self.order, timestep)


def _view_of(env: Any) -> Any:
    from mag.envs.view import NearestFirstView  # imports JAX

    view = getattr(env, "view", None)
    return None if view is None else NearestFirstView(view)
