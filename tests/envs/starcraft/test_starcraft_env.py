"""What StarCraft's units become: the same that `smac_jax` shows of the same battle."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from s2clientprotocol import sc2api_pb2 as api

from mag import envs
from mag.envs import starcraft
from mag.envs.smac_jax.battle import LOOPS_PER_SECOND
from mag.envs.smac_jax.observe import available_actions, make_layout, observations, team_reward, world_state
from mag.envs.smac_jax.terrain import is_walkable
from mag.envs.starcraft.client import GameError
from mag.envs.starcraft.show import pathing_grid
from mag.envs.view import NOBODY
from mag.errors import UsageError
from tests.support.starcraft_server import Faults, Server, install

MAPS = list(starcraft.specs())
QUICK = ("3s_vs_3z", "2s3z", "2s_vs_1sc")


class GameInProcess:
    """The stand-in, asked without a process or a socket."""

    pid = 1

    def __init__(self, faults):
        self.server = Server(faults)
        self.asked = []

    def request(self, name, message=None, **options):
        request = api.Request(id=1)
        getattr(request, name).SetInParent()
        if message is not None:
            getattr(request, name).CopyFrom(message)
        self.asked.append(request)
        return getattr(self.server.answer(request), name)

    def close(self):
        pass


@pytest.fixture
def make(tmp_path, monkeypatch):
    """`make(map)`: an environment and its game."""
    monkeypatch.setenv("SC2PATH", str(install(tmp_path, *MAPS)))

    def make(name, **faults):
        game = GameInProcess(Faults(**faults))
        monkeypatch.setattr("mag.envs.starcraft.env.Game", lambda install: game)
        return starcraft.make(name), game

    return make


def random_actions(rng, avail):
    return np.array([rng.choice(np.flatnonzero(mask)) for mask in avail])


@pytest.mark.parametrize("name", [m if m in QUICK else pytest.param(m, marks=pytest.mark.slow) for m in MAPS])
def test_the_game_shows_what_smac_jax_shows_of_the_same_battle(make, name):
    env, game = make(name)
    rng = np.random.default_rng(0)
    shown = env.reset(0)
    match = game.server.match
    layout, last, before = make_layout(match.map), jnp.full(env.spec.n_agents, -1), match.units
    for _ in range(40):
        units = jax.tree.map(jnp.asarray, match.units)
        avail = available_actions(match.battle, units)
        won = jnp.asarray(shown.won)
        np.testing.assert_array_equal(shown.avail, avail)
        np.testing.assert_allclose(shown.obs, observations(match.battle, layout, units, avail), atol=1e-6)
        np.testing.assert_allclose(shown.state, world_state(match.battle, layout, units, last), atol=1e-6)
        reward = 0.0 if shown.first else team_reward(match.battle, before, units, won)
        np.testing.assert_allclose(shown.reward, reward, atol=1e-5)
        np.testing.assert_array_equal(shown.alive, units.alive[: env.spec.n_agents])
        if shown.terminated or shown.truncated:
            break
        before, last = units, jnp.asarray(random_actions(rng, shown.avail), jnp.int32)
        shown = env.step(np.asarray(last))
    env.close()


def test_spec_is_that_of_smac_jax_but_for_the_name():
    for name in MAPS:
        ours, theirs = envs.spec(f"starcraft/{name}"), envs.spec(f"smac_jax/{name}")
        assert (ours.obs_dim, ours.state_dim, ours.n_actions, ours.episode_limit) == (
            theirs.obs_dim,
            theirs.state_dim,
            theirs.n_actions,
            theirs.episode_limit,
        )


def test_what_is_drawn_are_the_games_units_on_the_games_ground(make):
    env, game = make("2s_vs_1sc")
    with pytest.raises(GameError, match="no game is under way"):
        _ = env.view.scene
    shown = env.reset(0)
    twin = envs.make("smac_jax/2s_vs_1sc").view
    scene = env.view.scene
    assert (scene.width, scene.height, scene.allies) == (twin.scene.width, twin.scene.height, 2)
    assert scene.kinds == twin.scene.kinds and not scene.cliffs
    middle = (np.array(scene.walls)[:, :2] + np.array(scene.walls)[:, 2:]) / 2
    assert not is_walkable(game.server.match.battle.terrain, jnp.asarray(middle, jnp.float32)).any()
    game.server.match.units = game.server.match.units._replace(
        position=np.asarray(game.server.match.units.position).copy() + np.array([[0, 0], [0, 0], [-8, 0]])
    )
    shown = env.step(np.array([1, 1]))
    env.step(np.where(shown.avail[:, 6], 6, 1))
    frame, units = env.view.frame(env), game.server.match.units
    for name in ("position", "health", "shield"):
        np.testing.assert_allclose(getattr(frame, name), getattr(units, name), atol=1e-4)
    np.testing.assert_array_equal(frame.target, [*np.where(shown.avail[:, 6], 2, NOBODY), NOBODY])
    sight = env.view.sight(jnp.asarray(shown.obs))
    np.testing.assert_array_equal(sight.seen, twin.sight(jnp.asarray(shown.obs)).seen)
    env.close()


def test_orders_are_those_of_smac(make):
    env, game = make("3s_vs_3z")
    env.reset(0)
    units = np.asarray(game.server.match.units.position)
    game.asked.clear()
    # north, west and an attack out of range, which is a stop
    env.step(np.array([2, 5, 6]))
    commands = [action.action_raw.unit_command for action in game.asked[0].action.actions]
    # moves (16) aim 2 away; stop is 4
    assert [command.ability_id for command in commands] == [16, 16, 4]
    aims = [(c.target_world_space_pos.x, c.target_world_space_pos.y) for c in commands[:2]]
    np.testing.assert_allclose(aims, units[:2] + np.array([[0, 2], [-2, 0]]), atol=1e-5)
    assert [list(command.unit_tags) for command in commands] == [[1000], [1001], [1002]]
    assert [request.WhichOneof("request") for request in game.asked] == ["action", "step", "observation"]
    assert game.asked[1].step.count == 8


def test_an_attack_names_the_enemy_and_the_dead_get_no_order(make):
    env, game = make("3s_vs_3z")
    shown = env.reset(0)
    match = game.server.match
    place = np.array(match.units.position)
    place[4] = place[0] + [3.0, 0.0]
    match.units = match.units._replace(position=place)
    match.kill([1001])
    shown = env.step(np.array([1, 1, 1]))
    assert shown.avail[0, 7] and shown.avail[1].tolist() == [True] + [False] * 8 and not shown.alive[1]
    game.asked.clear()
    env.step(np.array([7, 0, 1]))
    commands = [action.action_raw.unit_command for action in game.asked[0].action.actions]
    assert [(c.ability_id, c.target_unit_tag, list(c.unit_tags)) for c in commands] == [
        (23, 1004, [1000]),
        (4, 0, [1002]),
    ]


def test_a_win_ends_the_episode_and_pays_what_smac_pays(make):
    env, game = make("3s_vs_3z")
    env.reset(0)
    game.server.match.kill([1003, 1004, 1005])
    shown = env.step(np.array([1, 1, 1]))
    # All enemies in one step: 3 * (100 + 50) + 3 * 10 + 200 of as many, scaled to 20.
    assert shown.terminated and shown.won and not shown.truncated and shown.reward == pytest.approx(20.0)
    again = env.reset(1)
    assert again.first and again.alive.all() and again.reward == 0
    # The winners were killed, with nobody's tag but theirs, and two loops passed.
    killed = [list(each.kill_unit.tag) for request in game.asked for each in request.debug.debug]
    assert killed == [[1000, 1001, 1002]]
    assert [request.step.count for request in game.asked if request.HasField("step")] == [8, 2]


def test_a_defeat_is_no_win_and_an_enemys_shield_pays_once(make):
    env, game = make("3s_vs_3z")
    env.reset(0)
    game.server.match.kill([1003])
    # 100 + 50 + 10 of 680, scaled to 20
    assert env.step(np.array([1, 1, 1])).reward == pytest.approx(160 / 680 * 20)
    assert env.step(np.array([1, 1, 1])).reward == 0
    game.server.match.kill([1000, 1001, 1002])
    shown = env.step(np.array([1, 1, 1]))
    assert shown.terminated and not shown.won and (shown.obs == 0).all()


def test_the_time_limit_truncates(make):
    env, _ = make("3s_vs_3z")
    env.reset(0)
    env._time = env.spec.episode_limit - 1
    shown = env.step(np.array([1, 1, 1]))
    assert shown.truncated and not shown.terminated


def test_the_match_is_made_as_smac_makes_it(make):
    env, game = make("2c_vs_64zg")
    env.reset(5)
    create, join = game.asked[0].create_game, game.asked[1].join_game
    assert create.local_map.map_path == "SMAC_Maps/2c_vs_64zg.SC2Map" and create.random_seed == 5
    agents, computer = create.player_setup
    assert agents.type == api.Participant
    assert (computer.type, computer.race, computer.difficulty) == (api.Computer, 2, 7)  # 2: Zerg, 7: VeryHard
    assert join.race == 3 and join.options.raw  # 3: Protoss


def test_units_of_another_version_are_refused(make):
    env, _ = make("3s_vs_3z", stalker_health=70.0)
    with pytest.raises(
        UsageError, match=r"game's stalker has 70 health and 80 shield, the unit table 80 and 80.*doctor"
    ):
        env.reset(0)


def test_units_that_never_come_are_told(make):
    env, _ = make("3s_vs_3z", lose_unit=True)
    with pytest.raises(GameError, match=r"there are \d allies and 3 enemies; the roster has 3 and 3"):
        env.reset(0)


def image(cells, bits):
    """A grid `[x, y]` in the protocol's two ways."""
    rows = np.array(cells, bool).T
    data = np.packbits(rows) if bits == 1 else np.where(rows, 0, 255).astype(np.uint8)[::-1]
    size = SimpleNamespace(x=rows.shape[1], y=rows.shape[0])
    return SimpleNamespace(bits_per_pixel=bits, size=size, data=data.tobytes())


@pytest.mark.parametrize("bits", [1, 8])
def test_pathing_grids_are_read_row_by_row(bits):
    cells = np.random.default_rng(0).random((16, 8)) < 0.5
    np.testing.assert_array_equal(pathing_grid(image(cells, bits)), cells)


def test_cooldowns_come_in_game_loops(make):
    env, game = make("3s_vs_3z")
    env.reset(0)
    match = game.server.match
    match.units = match.units._replace(cooldown=np.full(6, 15 / LOOPS_PER_SECOND, np.float32))
    # 15 loops less a step's 8; SMAC divides a Stalker's by 35. The second entry of an ally's.
    assert env.step(np.array([1, 1, 1])).state[1] == pytest.approx(7 / 35, abs=1e-5)
