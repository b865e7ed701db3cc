"""SMAClite as a host environment: what is ours of it, with a stand-in, and the real one where it is installed."""

import importlib.metadata
import importlib.util
import sys
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from mag import envs
from mag.envs.host import record_of
from mag.envs.smac_jax.loading import get_map
from mag.envs.smac_jax.observe import make_layout
from mag.envs.smaclite import MAPS, SMACliteEnv
from mag.envs.view import NOBODY, Kind
from mag.errors import UsageError

SPEC = envs.spec("smaclite/2s3z")


class Type:
    """A unit type of SMAClite's."""

    def __init__(self, name, radius, hp, shield):
        self.radius, self.stats = radius, SimpleNamespace(name=name, hp=hp, shield=shield)


ZEALOT, STALKER = Type("ZEALOT", 0.5, 100, 50), Type("STALKER", 0.625, 80, 80)


def unit(side, number):
    """A unit of SMAClite's, 2 Stalkers and 3 Zealots on each side."""
    kind = STALKER if number < 2 else ZEALOT
    place = np.array([4.0 + side, 2.0 * number])
    return SimpleNamespace(
        id=side + number, type=kind, pos=place, hp=kind.stats.hp, shield=kind.stats.shield, target=None, cooldown=0
    )


class Inner:
    """SMAClite's interface on 2s3z, with features that are all 0 but for the enemies' types."""

    map_info = SimpleNamespace(
        width=2,
        height=2,
        terrain=[[SimpleNamespace(value=cell) for cell in row] for row in ("_X", "C_")],
        groups=[SimpleNamespace(units=[(STALKER, 2)]), SimpleNamespace(units=[(ZEALOT, 3)])],
    )
    n_agents, obs_size, n_actions, state_size = SPEC.n_agents, SPEC.obs_dim, SPEC.n_actions, SPEC.state_dim

    def reset(self, seed):
        self.seed = seed
        self.agents, self.enemies = ({number: unit(side, number) for number in range(5)} for side in (0, 5))

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
        state[7 + 1] = 0.5  # agent 1's cooldown, as SMAClite scales it
        state[65 + 11 * 2 + 3] = 1  # agent 2's last action
        return state

    def get_avail_actions(self):
        avail = np.zeros((5, 11))
        avail[:, 1] = 1
        avail[4] = np.eye(11)[0]
        return list(avail)

    def close(self):
        self.closed = True


def test_enemies_types_are_shown_as_smac_numbers_them():
    env = SMACliteEnv(SPEC, get_map("2s3z"), Inner())
    shown = env.reset(3)
    record_of(SPEC, shown)
    # SMAC numbers enemies' types by StarCraft's numbers: Zealots (73) before Stalkers (74).
    seen = shown.obs[0, 4:44].reshape(5, 8)[:, 6:]
    np.testing.assert_array_equal(seen, [[0, 1], [0, 0], [0, 0], [0, 0], [1, 0]])
    assert shown.state[35:65].reshape(5, 6)[4].tolist() == [0, 0, 0, 0, 1, 0]


def test_the_state_has_smacs_cooldowns_and_no_actions_of_the_episode_before():
    inner = Inner()
    env = SMACliteEnv(SPEC, get_map("2s3z"), inner)
    assert not env.reset(0).state[65:].any()
    inner.agents[1].cooldown, inner.agents[2].cooldown = 1.0, 0.5
    state = env.step(np.ones(5, int)).state
    # SMAC divides game loops, 22.4 a second, by 35 for a Stalker and by 22 for a Zealot.
    np.testing.assert_allclose(state[1:35:7], [0, 22.4 / 35, 11.2 / 22, 0, 0], rtol=1e-6)
    assert state[65 + 11 * 2 + 3] == 1 and state[65:].sum() == 1


def test_what_is_drawn_are_smaclites_units_the_dead_included():
    inner = Inner()
    env = SMACliteEnv(SPEC, get_map("2s3z"), inner)
    env.reset(0)
    inner.agents[0].target = inner.enemies[3]
    inner.enemies[3].hp, inner.enemies[3].cooldown = 0, 0.5
    del inner.enemies[3]
    frame, scene = env.view.frame(env), env.view.scene
    assert [scene.kinds[kind].name for kind in frame.kind] == (["stalker"] * 2 + ["zealot"] * 3) * 2
    assert scene.kinds[0] == Kind("stalker", 0.625, 80.0, 80.0) and scene.allies == 5
    assert (frame.health[8], frame.shield[8], frame.target[0], frame.target[1]) == (0, 0, 8, NOBODY)
    np.testing.assert_array_equal(frame.position[8], [9, 6])
    # Rows from the bottom: a wall at (1, 0) and a cliff at (0, 1).
    assert (scene.walls, scene.cliffs) == (((1, 0, 2, 1),), ((0, 1, 1, 2),))


def test_actions_that_are_not_available_are_a_stop_and_ends_are_told_apart():
    inner = Inner()
    env = SMACliteEnv(SPEC, get_map("2s3z"), inner)
    env.reset(0)
    shown = env.step(np.array([1, 6, 2, 1, 3]))
    assert inner.actions == [1, 1, 1, 1, 0] and shown.reward == 2.5 and not shown.terminated
    inner.enemies = {}
    assert env.step(np.ones(5, int)).won
    inner.agents = {}
    lost = env.step(np.ones(5, int))
    assert lost.terminated and not lost.won and not lost.alive.any()
    inner.agents = inner.enemies = {0: unit(0, 0)}
    env._time = SPEC.episode_limit - 1
    assert env.step(np.ones(5, int)).truncated


def test_another_version_with_other_sizes_is_refused(monkeypatch):
    monkeypatch.setattr(Inner, "obs_size", 81)
    with pytest.raises(UsageError, match=r"\(5, 81, 11, 120\) in this version of SMAClite and \(5, 80, 11, 120\)"):
        SMACliteEnv(SPEC, get_map("2s3z"), Inner())


@pytest.mark.skipif(importlib.util.find_spec("smaclite") is not None, reason="SMAClite is installed")
def test_a_missing_simulator_is_told():
    with pytest.raises(UsageError, match=r"needs SMAClite, but smaclite is not installed"):
        envs.make("smaclite/2s3z")


def test_a_run_notes_its_version(monkeypatch):
    monkeypatch.setitem(sys.modules, "smaclite", SimpleNamespace())
    monkeypatch.setattr("importlib.metadata.version", {"smaclite": "1.2"}.get)
    assert envs.notes("smaclite/2s3z") == {"smaclite": "1.2"}


@pytest.mark.skipif(importlib.util.find_spec("smaclite") is None, reason="SMAClite is not installed")
@pytest.mark.parametrize("name", MAPS)
def test_its_maps_are_smacs(name):
    env = envs.make(f"smaclite/{name}")
    shown, rng = env.reset(0), np.random.default_rng(0)
    for _ in range(5):
        record_of(env.spec, shown)
        shown = env.step(np.array([rng.choice(np.flatnonzero(mask)) for mask in shown.avail]))
    frame, scene = env.view.frame(env), env.view.scene
    layout = make_layout(get_map(name))
    assert len(frame.kind) == layout.num_allies + layout.num_enemies and scene.allies == layout.num_allies
    full = np.array([scene.kinds[kind].health for kind in frame.kind])
    ours = get_map(name)
    np.testing.assert_array_equal(full, [unit.health for unit in ours.ally_types + ours.enemy_types])
    seen = np.asarray(env.view.sight(jnp.asarray(shown.obs)).seen)
    np.testing.assert_array_equal(seen.any(0)[: scene.allies], frame.health[: scene.allies] > 0)
    env.close()
