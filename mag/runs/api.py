"""Training, loading and acting from Python: `mag.train` and `mag.load`."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag import envs
from mag.algorithms.config import RunConfig
from mag.envs.nearest_first import as_numbered, in_order, order_of
from mag.errors import UsageError
from mag.options import flatten
from mag.play.episode import Agent, unexploring
from mag.runs import trained
from mag.runs.resolve import resolve
from mag.runs.train import train as train_run
from mag.runtime import compile_options, setup
from mag.types import TimeStep


def train(
    env: str = RunConfig().env,
    algo: str = RunConfig().algo,
    *,
    size: str = "auto",
    recipe: str = "auto",
    planner: str | Mapping[str, Any] | None = None,
    seed: int = 0,
    steps: int | None = None,
    run: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Train a method, or resume the run in folder `run`; returns the run's summary, as summary.json holds it.

    Every option of `mag train` is accepted: by keyword, groups as dicts (`num_seeds=3, ppo={"gamma": 0.995}`), or in
    `options` by the command line's names (`{"ppo.gamma": 0.995}`). `planner` is the kind of planner, or the group's
    options. By default `steps` is that of the recipe, and `run` a folder in `runs/` named after the options.

    Raises UsageError for all that `mag train` refuses, and Interrupted after SIGINT or SIGTERM, when the run is saved.
    """
    given = {"env": env, "algo": algo, "size": size, "recipe": recipe, "seed": seed, **more, **(options or {})}
    if steps is not None:
        given["steps"] = steps
    if planner is not None:
        given["planner"] = {"kind": planner} if isinstance(planner, str) else planner
    return train_run(resolve(flatten(given)), None if run is None else Path(run))


def load(run: str | Path, seed: int | None = None) -> "Policy":
    """The joint policy in a run's newest checkpoint, or in `zoo/NAME`: the first seed's, or that of `seed`.

    Raises UsageError where the folder holds no run, no usable checkpoint or no such seed.
    """
    setup()
    config, algorithm, player, state, _, _ = trained.load_run(Path(run))
    index = trained.place_of(seed, config, Path(run))
    agent = jax.tree.map(lambda x: x[index], algorithm.agent(state.learner))
    return Policy(unexploring(agent), player.spec, key=jax.random.key(config.seed + index))


class Policy:
    """A trained joint policy that acts in one environment and carries the agents' recurrent state along.

    All randomness while it acts, such as a world model's sampled latents, comes from `key`, which is consumed.
    """

    def __init__(self, agent: Agent, spec: envs.EnvSpec, *, key: PRNGKeyArray) -> None:
        self.spec = spec
        """Sizes of the environment that the policy was trained in."""
        self._agent = agent
        self._key, key_carry = jax.random.split(key)
        self._carry = agent.initial_carry(key_carry)
        self._is_new = True
        self._act = jax.jit(partial(_act, spec), static_argnames="greedy", compiler_options=compile_options())

    def act(
        self,
        observation: Float[Array, "agents obs"] | np.ndarray | TimeStep,
        available: Bool[Array, "agents actions"] | np.ndarray | None = None,
        first: bool = False,
        *,
        alive: Bool[Array, " agents"] | np.ndarray | None = None,
        greedy: bool = True,
    ) -> Int[np.ndarray, " agents"]:
        """The joint action `[agents]` for a joint observation `[agents, obs]`, or for a whole `TimeStep`.

        `first` starts an episode, as the first call always does. By default every action is available and every agent
        alive. A `TimeStep` contains all three. `greedy` takes the likeliest actions; without it actions are sampled,
        but not with the exploration of training. A policy trained with `collect.nearest_first` takes enemies in any
        order, and its actions attack in that same order. Raises UsageError for arrays of other shapes.
        """
        timestep = observation
        if not isinstance(timestep, TimeStep):
            timestep = self._time_step(observation, available, first, alive)
        self._check_shapes(timestep)
        timestep = timestep._replace(first=jnp.logical_or(timestep.first, self._is_new))
        action, self._carry, self._key = self._act(self._agent, self._key, self._carry, timestep, greedy=greedy)
        self._is_new = False
        return np.asarray(action)

    def _time_step(self, observation: Any, available: Any, first: bool, alive: Any) -> TimeStep:
        """A time step from an environment's arrays."""
        agents, actions = self.spec.n_agents, self.spec.n_actions
        no = jnp.zeros((), bool)
        return TimeStep(
            obs=jnp.asarray(observation, jnp.float32),
            avail=jnp.ones((agents, actions), bool) if available is None else jnp.asarray(available, bool),
            alive=jnp.ones(agents, bool) if alive is None else jnp.asarray(alive, bool),
            reward=jnp.zeros(self.spec.reward_shape),
            first=jnp.asarray(first, bool),
            terminated=no,
            truncated=no,
            won=no,
            state=None,
        )

    def _check_shapes(self, timestep: TimeStep) -> None:
        """Raise UsageError if an array does not belong to a single joint observation."""
        spec = self.spec
        agents = spec.n_agents
        for name, value, shape in (
            ("the observation", timestep.obs, (agents, spec.obs_dim)),
            ("the mask of available actions", timestep.avail, (agents, spec.n_actions)),
            ("the mask of living agents", timestep.alive, (agents,)),
            ("the start of an episode", timestep.first, ()),
        ):
            if (found := np.shape(value)) != shape:
                raise UsageError(
                    f"{name} has the shape {found}; {spec.name} has {shape}, for one environment at one time step"
                )


def _act(spec: envs.EnvSpec, agent: Agent, key: PRNGKeyArray, carry: Any, timestep: TimeStep, *, greedy: bool) -> Any:
    """The joint action, the new recurrent state and the next key."""
    key, key_act = jax.random.split(key)
    if spec.nearest_first and spec.enemies:
        order = order_of(spec.enemies, timestep.obs)
        action, carry = agent.act(key_act, carry, in_order(spec.enemies, order, timestep), greedy=greedy)
        return as_numbered(spec.enemies, order, action), carry, key
    return *agent.act(key_act, carry, timestep, greedy=greedy), key
