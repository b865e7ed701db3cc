"""Maps and units from files, and errors that say what to mend."""

from pathlib import Path

import pytest

from mag.envs.smac_jax.env import SMAC
from mag.envs.smac_jax.loading import load_map, load_units
from mag.envs.smac_jax.units import UNIT_TYPES

MAP = """
name = "three_on_four"
limit = 200
attack_point = [9, 16]
walls = [[0, 0, 32, 8]]
allies = [{ unit = "stalker", count = 3, at = [9, 16] }]
enemies = [{ unit = "zealot", count = 4, at = [23, 16] }]
"""
UNITS = """
[tough_zealot]
like = "zealot"
health = 150
splash = [2, 0.5]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "file.toml"
    path.write_text(text)
    return path


def test_a_map_from_a_file(tmp_path: Path) -> None:
    env = SMAC(load_map(write(tmp_path, MAP)))
    assert (env.name, env.num_agents, env.num_enemies, env.max_steps) == ("three_on_four", 3, 4, 200)
    assert env.obs_size == 42  # that of 3s_vs_4z


def test_units_from_a_file(tmp_path: Path) -> None:
    table = load_units(write(tmp_path, UNITS))
    tough = table["tough_zealot"]
    assert (tough.health, tough.shield, tough.splash) == (150, 50, (2, 0.5))
    assert table["stalker"] is UNIT_TYPES["stalker"]
    game_map = load_map(write(tmp_path, MAP.replace('"zealot"', '"tough_zealot"')), units=table)
    assert [unit.health for unit in game_map.enemy_types] == [150] * 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("limit = 200", "limit = 0", r"line 3: limit is 0; allowed: a whole number of at least 1"),
        ("limit = 200", "", r"limit is None"),
        (
            "limit = 200",
            "limt = 200",
            r"line 3: limt is 200; allowed: no such field; the fields are name, limit",
        ),
        ('"stalker"', '"stalkr"', r"line 6: allies\[0\].unit is 'stalkr'; allowed: one of stalker, zealot"),
        ("count = 4", "count = 1.5", r"line 7: enemies\[0\].count is 1.5; allowed: a whole number"),
        (
            "at = [23, 16]",
            "at = [23, 99]",
            r"enemies\[0\].at is \[23, 99\]; allowed: \[x, y\] with 0 <= x <= 32",
        ),
        ("[[0, 0, 32, 8]]", "[[0, 9, 32, 8]]", r"line 5: walls\[0\] is \[0, 9, 32, 8\].*bottom < top"),
        ("attack_point = [9, 16]", "attack_point = 9", r"line 4: attack_point is 9"),
        ("limit = 200", "limit = = 200", r"not valid TOML: .*line 3"),
    ],
)
def test_faults_in_maps(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_map(write(tmp_path, MAP.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("health = 150", "health = 0", r"line 4: tough_zealot.health is 0; allowed: a positive number"),
        ("health = 150", "helth = 150", r"line 4: tough_zealot.helth is 150; allowed: no such field"),
        ('like = "zealot"', "", r"tough_zealot.damage is None; allowed: a number, or `like`"),
        (
            'like = "zealot"',
            'like = "zelot"',
            r"line 3: tough_zealot.like is 'zelot'; allowed: one of stalker",
        ),
        ("health = 150", 'attributes = ["soft"]', r"attributes is \['soft'\]; allowed: a list of armoured"),
    ],
)
def test_faults_in_units(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_units(write(tmp_path, UNITS.replace(old, new)))
