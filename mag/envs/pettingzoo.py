"""Family `pettingzoo`: tasks with discrete actions behind PettingZoo's parallel interface.

| map | task | limit |
|---|---|---|
| `mpe.simple_spread_v3` | 3 agents cover 3 landmarks without bumping into each other | 25 |
| `mpe.simple_reference_v3` | 2 agents tell each other, by 10 words, which landmark to go to | 25 |
| `mpe.simple_speaker_listener_v4` | one agent speaks, the other moves | 25 |
| `mpe.simple_line_v1` | 4 agents line up between two landmarks | 25 |
| `mpe.simple_formation_v1` | 4 agents stand in a circle around a landmark | 25 |
| `mpe.collect_treasure_v1` | 6 agents fetch treasures for 2 that collect them | 25 |
| `mpe.simple_tag_v3` | 3 agents chase a faster one; own rewards | 25 |
| `mpe.simple_adversary_v3` | 2 agents go to a landmark that an opponent has to guess; own rewards | 25 |
| `mpe.simple_push_v3` | one agent goes to a landmark, an opponent pushes it away; own rewards | 25 |

With "own rewards" each agent has a reward of its own. These tasks are in the package `mpe2` (extra `pettingzoo`); no
episode ends before its limit. Any other environment with this interface is played from a module of your own:

    from mag.envs.pettingzoo import PettingZooEnv

    host = True

    def make(map_name):
        return PettingZooEnv(f"my_tasks/{map_name}", my_parallel_env(), episode_limit=100)

    def specs():
        return {"mine": make("mine").spec}
"""

import importlib
import importlib.metadata
import math
import os
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from mag.envs.contract import EnvSpec, count_actions, roles_of
from mag.envs.host import time_step
from mag.errors import UsageError
from mag.types import TimeStep

host = True
_COMPETE = "its agents compete, and the only competitive tasks tried are simple_tag, simple_adversary and simple_push"
refusals = {
    r"mpe\.simple_(crypto|world_comm)_v\d+": _COMPETE,
    r"mpe\.simple_v\d+": "it has a single agent",
    r"classic\..+": "its agents take turns, and only tasks with PettingZoo's parallel interface can be played",
    r"atari\..+": _COMPETE,
}
"""See `Refuses`."""
_MASKS = ("action_mask", "avail_actions", "legal_moves")
"""Names of the mask of available actions, in `infos` or in observations that are dicts."""


class PettingZooEnv:
    """A PettingZoo `ParallelEnv` as a `HostEnv`.

    - Observations are flattened; if agents' sizes differ, shorter ones are padded with zeros at the end.
    - If agents' numbers of actions differ, all agents have the largest number, and actions that an agent lacks are
      never available. Masks are read from observations that are dicts (`observation` and `action_mask`) or from
      `infos`.
    - An agent that has left is dead: it observes zeros, and every action is available, or only action 0 if there are
      masks.
    - The team reward is the mean of all agents' rewards; an agent that has left counts with 0. Without `team_reward`
      each agent keeps its own reward, and its observation ends with its role one-hot: its name without its number.
    - The episode ends when no agent is left: `truncated` if an agent was truncated in that step, else `terminated`.
    """

    def __init__(
        self, name: str, env: Any, *, episode_limit: int, team_reward: bool = True, reward_scale: float = 1.0
    ) -> None:
        """Wrap `env`; an episode that has not ended before is truncated at `episode_limit`.

        `reward_scale` is the spec's. Raises UsageError if an agent's actions are not discrete or its observations are
        not arrays.
        """
        self._env = env
        self._agents: list[str] = list(env.possible_agents)
        sizes = [_observation_size(name, agent, env.observation_space(agent)) for agent in self._agents]
        self._n_actions = [count_actions(name, agent, env.action_space(agent)) for agent in self._agents]
        self._first_actions = [int(getattr(env.action_space(agent), "start", 0)) for agent in self._agents]
        has_masks = len(set(self._n_actions)) > 1 or self._shows_masks()
        state_space = getattr(env, "state_space", None)
        self._roles = np.zeros((len(sizes), 0), np.float32) if team_reward else roles_of(self._agents)
        self.spec = EnvSpec(
            name=name,
            n_agents=len(self._agents),
            obs_dim=max(sizes) + self._roles.shape[1],
            state_dim=None if state_space is None else math.prod(state_space.shape),
            n_actions=max(self._n_actions),
            episode_limit=episode_limit,
            has_masks=has_masks,
            has_wins=False,
            reward_scale=reward_scale,
            team_reward=team_reward,
        )
        self._time = 0
        self._playing: list[str] = []  # agents that acted in the last step

    def reset(self, seed: int) -> TimeStep:
        """See `HostEnv.reset`."""
        observations, infos = self._env.reset(seed=seed)
        self._time, self._playing = 0, list(self._env.agents)
        return self._show(observations, infos, first=True)

    def step(self, action: Int[np.ndarray, " agents"]) -> TimeStep:
        """See `HostEnv.step`."""
        self._playing = list(self._env.agents)
        places = [self._agents.index(agent) for agent in self._playing]
        actions = {self._agents[i]: int(action[i]) + self._first_actions[i] for i in places}
        observations, rewards, _, truncations, infos = self._env.step(actions)
        self._time += 1
        is_cut = any(truncations.values())
        return self._show(
            observations,
            infos,
            reward=self._reward(rewards),
            terminated=not self._env.agents and not is_cut,
            truncated=(not self._env.agents and is_cut) or self._time >= self.spec.episode_limit,
        )

    def close(self) -> None:
        """See `HostEnv.close`."""
        self._env.close()

    def _reward(self, rewards: dict[str, Any]) -> float | Float[np.ndarray, " agents"]:
        each = [float(rewards.get(agent, 0.0)) for agent in self._agents]
        return sum(each) / len(each) if self.spec.team_reward else np.array(each, np.float32)

    def _show(self, observations: dict[str, Any], infos: dict[str, Any], **rest: Any) -> TimeStep:
        # An agent that stops in this step observes zeros; if the last ones stop, those still observe the last state.
        there = [agent in (self._env.agents or self._playing) for agent in self._agents]
        obs = np.zeros((self.spec.n_agents, self.spec.obs_dim), np.float32)
        obs[:, self.spec.obs_dim - self._roles.shape[1] :] = self._roles
        avail = np.zeros((self.spec.n_agents, self.spec.n_actions), bool)
        for index, agent in enumerate(self._agents):
            if there[index] and agent in observations:
                seen = _flat(observations[agent])
                obs[index, : len(seen)] = seen
                avail[index] = self._mask(index, observations[agent], infos.get(agent, {}))
            else:
                avail[index, 0] = True
                avail[index] |= not self.spec.has_masks
        state = None if self.spec.state_dim is None else np.asarray(self._env.state(), np.float32).ravel()
        return time_step(self.spec, obs=obs, avail=avail, alive=np.array(there), state=state, **rest)

    def _mask(self, index: int, observation: Any, info: dict[str, Any]) -> Bool[np.ndarray, " actions"]:
        mask = np.arange(self.spec.n_actions) < self._n_actions[index]
        given = _given_mask(observation, info)
        if given is not None:
            mask[: len(given)] &= given
        return mask

    def _shows_masks(self) -> bool:
        observations, infos = self._env.reset(seed=0)
        return any(_given_mask(observations[agent], infos.get(agent, {})) is not None for agent in observations)


def _given_mask(observation: Any, info: dict[str, Any]) -> Bool[np.ndarray, " actions"] | None:
    """An agent's mask of available actions, from its observation or `infos`; None if neither has one."""
    places = (observation if isinstance(observation, dict) else {}, info)
    found = (place[name] for place in places for name in _MASKS if name in place)
    mask = next(found, None)
    return None if mask is None else np.asarray(mask, bool).ravel()


def _flat(observation: Any) -> Float[np.ndarray, " obs"]:
    """An agent's observation as one vector, without its mask."""
    if isinstance(observation, dict):
        observation = observation["observation"]
    return np.asarray(observation, np.float32).ravel()


def _observation_size(name: str, agent: str, space: Any) -> int:
    inner = getattr(space, "spaces", {})
    space = inner.get("observation", space) if isinstance(inner, dict) else space
    if not getattr(space, "shape", None):
        raise UsageError(
            f"environment {name!r}: the observations of {agent!r} are of type {type(space).__name__}, and only arrays "
            "can be learned from (dicts of `observation` and `action_mask` included)"
        )
    return math.prod(space.shape)


def _particles(task: str, **sizes: Any) -> tuple[str, EnvSpec]:
    """A map of this family and its spec (a test compares the sizes with the environment's)."""
    usual: dict[str, Any] = {"n_actions": 5, "episode_limit": 25, "has_masks": False, "has_wins": False}
    return f"mpe.{task}", EnvSpec(name=f"pettingzoo/mpe.{task}", **(usual | sizes))


_SPECS = dict(
    [
        _particles("simple_spread_v3", n_agents=3, obs_dim=18, state_dim=54),
        _particles("simple_reference_v3", n_agents=2, obs_dim=21, state_dim=42, n_actions=50),
        _particles("simple_speaker_listener_v4", n_agents=2, obs_dim=11, state_dim=14, has_masks=True),
        _particles("simple_line_v1", n_agents=4, obs_dim=8, state_dim=32),
        _particles("simple_formation_v1", n_agents=4, obs_dim=6, state_dim=24),
        _particles("collect_treasure_v1", n_agents=8, obs_dim=86, state_dim=684),
        _particles("simple_tag_v3", n_agents=4, obs_dim=18, state_dim=62, team_reward=False, reward_scale=0.4),
        _particles("simple_adversary_v3", n_agents=3, obs_dim=12, state_dim=28, team_reward=False),
        _particles("simple_push_v3", n_agents=2, obs_dim=21, state_dim=27, team_reward=False),
    ]
)


def specs() -> dict[str, EnvSpec]:
    """The spec of every map, by its name; PettingZoo is not imported."""
    return dict(_SPECS)


def make(map_name: str) -> PettingZooEnv:
    """The environment of one of the maps in `specs()`. Raises UsageError where its package is not installed."""
    spec = _SPECS[map_name]
    # PettingZoo's own limit is one step later, so that ours always comes first.
    env = _task(map_name).parallel_env(max_cycles=spec.episode_limit + 1)
    return PettingZooEnv(
        spec.name,
        env,
        episode_limit=spec.episode_limit,
        team_reward=spec.team_reward,
        reward_scale=spec.reward_scale,
    )


def notes(map_name: str, content: dict[str, Any] | None) -> dict[str, Any]:
    """The version of the tasks' package. Raises UsageError where it is not installed."""
    del content
    _task(map_name)
    return {"mpe2": importlib.metadata.version("mpe2")}


def _task(map_name: str) -> Any:
    """The module of a task. Raises UsageError where its package, or one that this needs, is not installed."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        return importlib.import_module(f"mpe2.{map_name.removeprefix('mpe.')}")
    except ImportError as error:
        raise UsageError(
            f"pettingzoo/{map_name} needs packages that are not installed ({error.name}): "
            "pip install 'models-as-agents[pettingzoo]'"
        ) from error
