"""SMAClite as a host environment: what is ours of it, with a stand-in, and the real one where it is installed."""

import importlib.util

import numpy as np
import pytest

from mag import envs
from mag.envs.host import record_of
from mag.envs.smac_jax.loading import get_map
from mag.envs.smac_jax.observe import make_layout
from mag.envs.smaclite import MAPS, SMACliteEnv
from mag.errors import UsageError

SPEC = envs.spec("smaclite/2s3z")


class Inner:
    """SMAClite's interface on 2s3z, with features that are all 0 but for the enemies' types."""

    n_agents, obs_size, n_actions, state_size = SPEC.n_agents, SPEC.obs_dim, SPEC.n_actions, SPEC.state_dim

    def reset(self, seed):
        self.seed, self.agents, self.enemies = seed, dict.fromkeys(range(5)), dict.fromkeys(range(5))

    def step(self, actions):
        self.actions = actions
        done = not self.agents or not self.enemies
        return self.get_obs(), 2.5, done, False, {"battle_won": done}

    def get_obs(self):
        obs = np.zeros((5, 80), np.float32)
        # Per enemy 5 features, shield and 2 types, after 4 moves: agent 0 sees enemies 0 (Stalker) and 4 (Zealot).
        obs[0, 4 + 6] = obs[0, 4 + 4 * 8 + 7] = 1
        return tuple(obs)

    def get_state(self):
        state = np.zeros(120, np.float32)
        # 5 allies of 4 + 1 + 2; per enemy 3 + 1 + 2.
        state[35 + 4 * 6 + 5] = 1
        return state

    def get_avail_actions(self):
        avail = np.zeros((5, 11))
        avail[:, 1] = 1
        avail[4] = np.eye(11)[0]
        return list(avail)

    def close(self):
        self.closed = True


def test_enemies_types_are_shown_as_smac_numbers_them():
    env = SMACliteEnv(SPEC, make_layout(get_map("2s3z")), Inner())
    shown = env.reset(3)
    record_of(SPEC, shown)
    # SMAC numbers enemies' types by StarCraft's numbers: Zealots (73) before Stalkers (74).
    seen = shown.obs[0, 4:44].reshape(5, 8)[:, 6:]
    np.testing.assert_array_equal(seen, [[0, 1], [0, 0], [0, 0], [0, 0], [1, 0]])
    assert shown.state[35:65].reshape(5, 6)[4].tolist() == [0, 0, 0, 0, 1, 0]


def test_actions_that_are_not_available_are_a_stop_and_ends_are_told_apart():
    inner = Inner()
    env = SMACliteEnv(SPEC, make_layout(get_map("2s3z")), inner)
    env.reset(0)
    shown = env.step(np.array([1, 6, 2, 1, 3]))
    assert inner.actions == [1, 1, 1, 1, 0] and shown.reward == 2.5 and not shown.terminated
    inner.enemies = {}
    assert env.step(np.ones(5, int)).won
    inner.agents = {}
    lost = env.step(np.ones(5, int))
    assert lost.terminated and not lost.won and not lost.alive.any()
    inner.agents = inner.enemies = {0: None}
    env._time = SPEC.episode_limit - 1
    assert env.step(np.ones(5, int)).truncated


def test_another_version_with_other_sizes_is_refused(monkeypatch):
    monkeypatch.setattr(Inner, "obs_size", 81)
    with pytest.raises(UsageError, match=r"sizes \(5, 81, 11, 120\), and SMAC \(5, 80, 11, 120\)"):
        SMACliteEnv(SPEC, make_layout(get_map("2s3z")), Inner())


@pytest.mark.skipif(importlib.util.find_spec("smaclite") is not None, reason="SMAClite is installed")
def test_a_missing_simulator_is_told():
    with pytest.raises(UsageError, match=r"needs SMAClite, of which smaclite is not installed"):
        envs.make("smaclite/2s3z")


@pytest.mark.skipif(importlib.util.find_spec("smaclite") is None, reason="SMAClite is not installed")
@pytest.mark.parametrize("name", MAPS)
def test_its_maps_are_smacs(name):
    env = envs.make(f"smaclite/{name}")
    shown, rng = env.reset(0), np.random.default_rng(0)
    for _ in range(5):
        record_of(env.spec, shown)
        shown = env.step(np.array([rng.choice(np.flatnonzero(mask)) for mask in shown.avail]))
    env.close()
