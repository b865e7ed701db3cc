"""Maps from files: SMAC's other maps by their roster, and options of the game."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from mag import envs
from mag.envs.smac_jax import loading
from mag.errors import UsageError
from tests.support.starcraft_server import install

ROSTER = """
limit = 60
allies = [{ unit = "marine", count = 3 }]
enemies = [{ unit = "zealot", count = 2 }, { unit = "stalker", count = 1 }]
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.toml"):
        path = tmp_path / name
        path.write_text(text)
        return f"starcraft/{path}"

    return write


def test_a_roster_has_smacs_sizes(write):
    name = write(ROSTER)
    spec = envs.spec(name)
    assert spec.name == name and spec.episode_limit == 60 and (spec.n_agents, spec.n_actions) == (3, 9)
    # Two types of enemies, who have shields, and none of the allies has: moves 4, enemies 3 * (5 + 1 + 2),
    # allies 2 * (5 + 2), own 1 + 2.
    assert spec.obs_dim == 4 + 24 + 14 + 3
    content = json.loads(json.dumps(envs.content(name)))
    assert envs.spec(name, content) == spec


@pytest.mark.parametrize("name", loading.MAP_NAMES)
def test_every_map_file_of_smac_jax_is_a_roster(name):
    path = Path(loading.__file__).parent / "maps" / f"{name}.toml"
    theirs, ours = envs.spec(f"starcraft/{name}"), envs.spec(f"starcraft/{path}")
    assert ours == dataclasses.replace(theirs, name=ours.name)


def test_a_file_with_options_alone_plays_one_of_smacs_maps(write, tmp_path, monkeypatch):
    monkeypatch.setenv("SC2PATH", str(install(tmp_path / "game", "3s_vs_3z")))
    name = write('[starcraft]\nmap = "3s_vs_3z"\ndifficulty = "Easy"\nseed = 3\nversion = "4.10"\n')
    noted = envs.notes(name)
    assert noted is not None
    assert (noted["map_file"], noted["difficulty"], noted["seed"]) == ("3s_vs_3z.SC2Map", "Easy", 3)
    env = envs.make(name)
    assert env.spec.obs_dim == envs.spec("starcraft/3s_vs_3z").obs_dim
    assert env.reset(0).first and not env.step(np.ones(3, int)).first
    env.close()


def test_a_map_of_smac_jax_is_one_of_the_games_with_its_ground_left_out(write, tmp_path, monkeypatch):
    monkeypatch.setenv("SC2PATH", str(install(tmp_path / "game")))
    walls = 'name = "arena"\nattack_point = [9, 16]\nwalls = [[0, 0, 32, 8]]\n' + ROSTER.replace(
        "count = 3", "count = 3, at = [3, 3]"
    )
    name = write(walls)
    content = envs.content(name)
    assert content is not None and content["walls"] == [] and content["name"] == "arena"
    with pytest.raises(UsageError, match=r"arena\.SC2Map is missing"):
        envs.make(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            ROSTER + '[starcraft]\ndifficulty = "Hardest"\n',
            r"mine\.toml, line 6: starcraft\.difficulty is 'Hardest'; allowed: one of VeryEasy",
        ),
        (ROSTER + "[starcraft]\nseed = 1.5\n", r"starcraft\.seed is 1\.5; allowed: a whole number"),
        (ROSTER + "[starcraft]\nlevel = 7\n", r"starcraft\.level is 7; .*the fields are map, difficulty"),
        ("starcraft = 3\n" + ROSTER, r"starcraft is 3; allowed: a table"),
        (ROSTER.replace("marine", "ghost"), r"unit is 'ghost'; allowed: one of .*"),
        ("limit = 3\n", r"allies is None"),
        (ROSTER + "sight = 3\n", r"sight is 3; .*the fields are name, limit"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(write, text, message):
    with pytest.raises(UsageError, match=message):
        envs.spec(write(text))


def test_the_race_of_a_unit_of_ones_own_has_to_be_given(write, tmp_path, monkeypatch):
    from mag.envs.starcraft.scenario import scenario_from

    units = ROSTER.replace('"marine"', '"scout"') + '[units.scout]\nlike = "marine"\n'
    content = envs.content(write(units))
    assert content is not None
    with pytest.raises(UsageError, match=r"race of the unit 'scout' is not known; give ally_race"):
        _ = scenario_from("mine", content).ally_race
    content["starcraft"] = {"ally_race": "terran"}
    assert (
        scenario_from("mine", content).ally_race == "terran" and scenario_from("mine", content).enemy_race == "protoss"
    )
