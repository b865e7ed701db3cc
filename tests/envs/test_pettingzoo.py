"""PettingZoo's parallel interface as a host environment: sizes, masks, agents that leave, and MPE itself."""

import importlib.metadata

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Text

from mag import envs
from mag.envs.host import record_of
from mag.envs.pettingzoo import PettingZooEnv
from mag.errors import UsageError

MAPS = [name for name in envs.names() if name.startswith("pettingzoo/")]


class Queue:
    """Agent a has 2 actions and leaves after two steps, b has 3 and stays for four; what they see counts the steps."""

    possible_agents = ("a", "b")

    def __init__(self, end="terminated", masks="dict"):
        self.end, self.masks = end, masks

    def observation_space(self, agent):
        inner = Box(-1, 1, (2, 1) if agent == "a" else (3,))
        return Dict({"observation": inner, "action_mask": Box(0, 1, (3,))}) if self.masks == "dict" else inner

    def action_space(self, agent):
        return Discrete(2 if agent == "a" else 3)

    def reset(self, seed):
        self.seed, self.time, self.agents, self.closed = seed, 0, ["a", "b"], False
        return self.observations(), self.infos()

    def step(self, actions):
        assert list(actions) == self.agents
        self.time += 1
        last = {agent: self.time >= (2 if agent == "a" else 4) for agent in self.agents}
        seen, told = self.observations(), self.infos()
        rewards = {agent: float(action) for agent, action in actions.items()}
        self.agents = [agent for agent in self.agents if not last[agent]]
        no = dict.fromkeys(last, False)
        ends = (last, no) if self.end == "terminated" else (no, last)
        return seen, rewards, *ends, told

    def observations(self):
        seen = {"a": np.full((2, 1), self.time), "b": np.full(3, self.time)}
        if self.masks == "dict":
            masks = {"a": np.array([1, 0]), "b": np.array([0, 1, 1])}
            seen = {agent: {"observation": seen[agent], "action_mask": masks[agent]} for agent in seen}
        return {agent: seen[agent] for agent in self.agents}

    def infos(self):
        return {agent: {"action_mask": np.array([0, 1, 0])} if self.masks == "infos" else {} for agent in self.agents}

    def close(self):
        self.closed = True


def played(env, action, steps):
    shown = [env.reset(3)]
    for _ in range(steps):
        shown.append(env.step(np.array(action, np.int32)))
        record_of(env.spec, shown[-1])
    return shown


def test_actions_count_from_the_spaces_own_first_one():
    class Late(Queue):
        def action_space(self, agent):
            return Discrete(2, start=1) if agent == "a" else Discrete(3)

    env = PettingZooEnv("mine/queue", Late(), episode_limit=10)
    assert env.spec.n_actions == 3
    # Actions 0 and 2 reach the task as 1 and 2, and an agent's reward is its action.
    assert played(env, [0, 2], 1)[1].reward == 1.5


def test_agents_of_different_sizes_are_padded_and_may_leave():
    env = PettingZooEnv("mine/queue", Queue(), episode_limit=10)
    assert (env.spec.obs_dim, env.spec.n_actions, env.spec.has_masks, env.spec.state_dim) == (3, 3, True, None)
    first, one, two, three, four = played(env, [1, 2], 4)
    assert first.first and env._env.seed == 3
    np.testing.assert_array_equal(one.obs, [[1, 1, 0], [1, 1, 1]])
    np.testing.assert_array_equal(one.avail, [[True, False, False], [False, True, True]])
    # The mean of 1 and 2; and of b's 2 alone.
    assert one.reward == two.reward == 1.5 and three.reward == 1.0
    assert one.alive.tolist() == [True, True] and two.alive.tolist() == [False, True]
    np.testing.assert_array_equal(two.obs[0], [0, 0, 0])
    np.testing.assert_array_equal(two.avail[0], [True, False, False])
    assert not three.terminated and four.terminated and not four.truncated
    env.close()
    assert env._env.closed


def test_agents_that_compete_keep_their_rewards_and_see_their_roles():
    env = PettingZooEnv("mine/queue", Queue(), episode_limit=10, team_reward=False)
    assert env.spec.obs_dim == 5 and env.spec.reward_shape == (2,)
    first, one, _, three, _ = played(env, [1, 2], 4)
    np.testing.assert_array_equal(first.reward, [0, 0])
    # What they see is padded to 3, then comes who they are.
    np.testing.assert_array_equal(one.obs, [[1, 1, 0, 1, 0], [1, 1, 1, 0, 1]])
    np.testing.assert_array_equal(one.reward, [1, 2])
    # An agent that has left gets nothing.
    np.testing.assert_array_equal(three.reward, [0, 2])


def test_the_last_agents_that_are_truncated_are_a_time_limit():
    *_, last = played(PettingZooEnv("mine/queue", Queue("truncated"), episode_limit=10), [0, 1], 4)
    assert last.truncated and not last.terminated
    # The last observation is what a value is bootstrapped from. The agent that had left before stays dead.
    np.testing.assert_array_equal(last.obs, [[0, 0, 0], [4, 4, 4]])
    assert last.alive.tolist() == [False, True]


def test_the_limit_truncates_a_task_that_has_none():
    *_, last = played(PettingZooEnv("mine/queue", Queue(), episode_limit=3), [0, 1], 3)
    assert last.truncated and not last.terminated


def test_masks_may_come_with_the_infos_or_not_at_all():
    one = played(PettingZooEnv("mine/queue", Queue(masks="infos"), episode_limit=10), [1, 1], 1)[1]
    np.testing.assert_array_equal(one.avail, [[False, True, False], [False, True, False]])
    env = PettingZooEnv("mine/queue", Queue(masks="none"), episode_limit=10)
    # Agents with different numbers of actions have masks all the same.
    assert env.spec.has_masks
    np.testing.assert_array_equal(env.reset(0).avail, [[True, True, False], [True, True, True]])


def test_spaces_that_cannot_be_played_are_refused(monkeypatch):
    monkeypatch.setattr(Queue, "action_space", lambda self, agent: Box(-1, 1, (2,)))
    with pytest.raises(UsageError, match=r"actions of 'a' are of type Box, and only Discrete ones"):
        PettingZooEnv("mine/queue", Queue(), episode_limit=10)
    monkeypatch.setattr(Queue, "observation_space", lambda self, agent: Text(3))
    with pytest.raises(UsageError, match=r"observations of 'a' are of type Text, and only arrays"):
        PettingZooEnv("mine/queue", Queue(), episode_limit=10)


@pytest.mark.parametrize("name", MAPS)
def test_the_particles_are_what_their_specs_say(name):
    env = envs.make(name)
    assert env.spec == envs.spec(name)
    shown = env.reset(7)
    again = env.reset(7)
    np.testing.assert_array_equal(shown.obs, again.obs)
    rng = np.random.default_rng(0)
    for time in range(1, env.spec.episode_limit + 1):
        shown = env.step(np.array([rng.choice(np.flatnonzero(mask)) for mask in shown.avail]))
        record_of(env.spec, shown)
        assert shown.truncated == (time == 25) and not shown.terminated and shown.alive.all()
    env.close()


def test_tasks_that_cannot_be_trained_are_refused_with_the_reason():
    with pytest.raises(UsageError, match=r"simple_crypto_v3': its agents compete"):
        envs.make("pettingzoo/mpe.simple_crypto_v3")
    with pytest.raises(UsageError, match=r"Did you mean 'pettingzoo/mpe.simple_spread_v3'"):
        envs.make("pettingzoo/mpe.simple_sprad_v3")


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mpe2.simple_spread_v3", None)
    with pytest.raises(UsageError, match=r"pip install 'models-as-agents\[pettingzoo\]'"):
        envs.make("pettingzoo/mpe.simple_spread_v3")


def test_a_run_notes_the_tasks_version():
    assert envs.notes("pettingzoo/mpe.simple_spread_v3") == {"mpe2": importlib.metadata.version("mpe2")}
