"""Units that `smac_jax` has no rules for, Medivacs and Banelings, on a game whose units are made by hand."""

import numpy as np
import pytest
from s2clientprotocol import sc2api_pb2 as api

from mag import envs
from mag.envs import starcraft
from mag.errors import UsageError
from tests.support.starcraft_server import install

MMM = """
limit = 150
allies = [{ unit = "marauder", count = 1 }, { unit = "marine", count = 2 }, { unit = "medivac", count = 1 }]
enemies = [{ unit = "marauder", count = 1 }, { unit = "marine", count = 2 }, { unit = "medivac", count = 1 }]
"""
HEALTH = {1900: 125, 1901: 45, 1902: 150, 51: 125, 48: 45, 54: 150}
"""By the map's own types of allies, and the game's of enemies."""
ALLIES = [(1900, 10.0, 10.0), (1901, 14.0, 10.0), (1901, 17.0, 10.0), (1902, 11.0, 10.0)]
ENEMIES = [(51, 15.0, 14.0), (48, 16.0, 14.0), (48, 17.0, 14.0), (54, 28.0, 28.0)]
MEDIVAC, STOP = 3, 1


class HandMadeGame:
    """Units that stay where they are; `dead` are the tags of those that are gone."""

    pid = 1

    def __init__(self):
        self.dead, self.energy, self.commands = set(), 50.0, []

    def request(self, name, message=None, **options):
        response = api.Response()
        getattr(response, name).SetInParent()
        if name == "game_info":
            raw = response.game_info.start_raw
            raw.map_size.x = raw.map_size.y = raw.pathing_grid.size.x = raw.pathing_grid.size.y = 32
            raw.pathing_grid.bits_per_pixel, raw.pathing_grid.data = 1, b"\xff" * 128
        if name == "observation":
            for tag, (kind, x, y) in enumerate([*ALLIES, *ENEMIES]):
                if tag not in self.dead:
                    health = HEALTH[kind]
                    unit = response.observation.observation.raw_data.units.add(
                        tag=tag, owner=1 + (kind < 1900), unit_type=kind, health=health, health_max=health
                    )
                    unit.pos.x, unit.pos.y, unit.weapon_cooldown = x, y, 5
                    unit.energy = self.energy
        if name == "action":
            self.commands = [action.action_raw.unit_command for action in message.actions]
        return getattr(response, name)

    def close(self):
        pass


@pytest.fixture
def write(tmp_path):
    def write(text):
        (tmp_path / "mmm.toml").write_text(text)
        return str(tmp_path / "mmm.toml")

    return write


@pytest.fixture
def game(tmp_path, monkeypatch):
    monkeypatch.setenv("SC2PATH", str(install(tmp_path / "game", "mmm")))
    game = HandMadeGame()
    monkeypatch.setattr("mag.envs.starcraft.env.Game", lambda install: game)
    return game


@pytest.fixture
def env(game, write):
    name = f"starcraft/{write(MMM)}"
    assert envs.spec(name).enemies is None  # Medivacs do not attack
    return envs.make(name)


def test_a_medivac_heals_allies_within_reach_and_attacks_nobody(env, game):
    shown = env.reset(0)
    # 1, 3 and 6 away are the Marauder and both Marines; itself it cannot heal.
    assert np.flatnonzero(shown.avail[MEDIVAC]).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    # A Marine at (14, 10) reaches the Marauder and both Marines (5 away at most), not the Medivac.
    assert np.flatnonzero(shown.avail[1]).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    # In its features of enemies SMAC shows whom it can heal: number 0 in place of an enemy 5.7 away.
    assert shown.obs[MEDIVAC, 4] == 1 and shown.obs[MEDIVAC, 5] == pytest.approx(np.hypot(4, 4) / 9)
    env.step(np.array([STOP, 7, STOP, 8]))
    # 4 stop, 23 attack enemy 1 (tag 5), 386 heal ally 2 (tag 2)
    assert [(c.ability_id, c.target_unit_tag) for c in game.commands] == [(4, 0), (23, 5), (4, 0), (386, 2)]
    game.dead = {2}
    shown = env.step(np.full(4, STOP))
    assert np.flatnonzero(shown.avail[MEDIVAC]).tolist() == [1, 2, 3, 4, 5, 6, 7]
    env.step(np.array([STOP, STOP, 0, 8]))
    assert game.commands[-1].ability_id == 4  # a dead Marine is not healed


def test_the_state_shows_a_medivacs_energy_in_place_of_a_cooldown(env, game):
    env.reset(0)
    game.energy = 150.0
    state = env.step(np.full(4, STOP)).state
    # Per ally: health, cooldown, x, y and three types. SMAC divides by 25, 15 and 200.
    assert state[1:28:7].tolist() == pytest.approx([5 / 25, 5 / 15, 5 / 15, 150 / 200])
    # SMAC numbers the types of MMM Marauder, Marine, Medivac on both sides; an enemy has health, x, y before them.
    enemies = state[28 : 28 + 24].reshape(4, 6)[:, 3:]
    np.testing.assert_array_equal(enemies, np.eye(3)[[0, 1, 1, 2]])


@pytest.mark.parametrize(
    ("dead", "won", "over"),
    [
        ({4, 5, 6}, True, True),  # a single Medivac is left of the enemies
        ({4, 5}, False, False),
        ({0, 1, 2}, False, True),  # a Medivac is left of the allies
        ({0, 1, 2, 4, 5, 6}, False, True),
        ({4, 5, 6, 7}, True, True),
        ({0, 1, 3}, False, False),
    ],
)
def test_a_side_of_medivacs_alone_has_lost(env, game, dead, won, over):
    env.reset(0)
    game.dead = dead
    shown = env.step(np.full(4, STOP))
    assert (bool(shown.won), bool(shown.terminated)) == (won, over)
    # All enemies have 125 + 2 * 45 + 150 points, 10 for each and 200 for the victory, of which a Medivac keeps its own.
    if dead == {4, 5, 6}:
        assert shown.reward == pytest.approx((125 + 90 + 30 + 200) / (365 + 40 + 200) * 20)


def test_smac_jax_refuses_what_it_has_no_rules_for(write):
    placed = MMM.replace("count = 1 }", "count = 1, at = [9, 9] }").replace("count = 2 }", "count = 2, at = [20, 20] }")
    with pytest.raises(UsageError, match=r"no rules for units that heal, as 'medivac' does; play the map on StarCraft"):
        envs.spec(f"smac_jax/{write(placed)}")
    banelings = 'limit = 9\nallies = [{ unit = "zealot", count = 7 }]\nenemies = [{ unit = "baneling", count = 32 }]\n'
    assert envs.spec(f"starcraft/{write(banelings)}").n_actions == 38
    placed = banelings.replace(" }]", ", at = [16, 16] }]")
    with pytest.raises(UsageError, match=r"no rules for units that explode, as 'baneling' does"):
        envs.make(f"smac_jax/{write(placed)}")


def test_more_allies_to_heal_than_enemies_are_refused(write):
    few = MMM.replace('enemies = [{ unit = "marauder", count = 1 }, { unit = "marine", count = 2 }', "enemies = [", 1)
    with pytest.raises(UsageError, match=r"has 3 allies to heal and 1 enemies, and SMAC numbers Medivacs' targets as"):
        envs.spec(f"starcraft/{write(few.replace('[, ', '['))}")


def test_three_types_of_enemies_are_in_the_order_of_the_allies():
    from mag.envs.smac_jax.loading import map_from
    from mag.envs.smac_jax.observe import make_layout

    squads = [{"unit": unit, "count": 1, "at": [16, 16]} for unit in ("colossus", "stalker", "zealot")]
    layout = make_layout(map_from({"limit": 9, "allies": squads, "enemies": squads}, "1c3s5z"))
    np.testing.assert_array_equal(layout.enemy_type, np.eye(3))


def test_the_races_of_these_units_are_known(write):
    scenario = starcraft._scenario("mmm", envs.content(f"starcraft/{write(MMM)}"))
    assert (scenario.ally_race, scenario.enemy_race) == ("terran", "terran")
