"""Maps and units from files, and errors that say what to mend."""

import dataclasses
import json
from pathlib import Path

import jax
import pytest

from mag import envs
from mag.envs.smac_jax import loading
from mag.envs.smac_jax.env import SMAC
from mag.envs.smac_jax.loading import MAP_NAMES, content_of, get_map, load_map, load_units, map_from, unit_types
from mag.errors import UsageError

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
    assert table["stalker"] is unit_types()["stalker"]
    game_map = load_map(write(tmp_path, MAP.replace('"zealot"', '"tough_zealot"')), units=table)
    assert [unit.health for unit in game_map.enemy_types] == [150] * 4


def test_a_map_file_names_its_units_and_is_played_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "units.toml").write_text(UNITS)
    tough = MAP.replace('"zealot"', '"tough_zealot"').replace("[[0, 0, 32, 8]]", "[]") + 'units = "units.toml"\n'
    name = f"smac_jax/{write(tmp_path, tough)}"
    env = envs.make(name)
    assert env.spec == envs.spec(name)
    assert (env.spec.name, env.spec.n_agents, env.spec.n_actions, env.spec.episode_limit) == (name, 3, 10, 200)
    _, arrived = env.reset(jax.random.key(0))
    assert arrived.obs.shape == (3, env.spec.obs_dim)


def test_units_stand_in_the_map_file_itself(tmp_path: Path) -> None:
    text = MAP.replace('"zealot"', '"tough_zealot"') + UNITS.replace("[tough", "[units.tough")
    assert [unit.health for unit in load_map(write(tmp_path, text)).enemy_types] == [150] * 4
    with pytest.raises(UsageError, match=r"line 11: units.tough_zealot.health is 0; allowed"):
        load_map(write(tmp_path, text.replace("health = 150", "health = 0")))


@pytest.mark.parametrize("name", MAP_NAMES)
def test_a_map_is_the_same_by_its_content(name: str) -> None:
    content = json.loads(json.dumps(content_of(get_map(name))))
    again, once = map_from(content, "a note"), get_map(name)
    assert dataclasses.replace(again, units=once.units) == once
    assert (again.ally_types, again.enemy_types) == (once.ally_types, once.enemy_types)
    assert content_of(again) == content


def test_a_map_is_played_by_its_content_where_its_file_is_not(tmp_path: Path) -> None:
    path = write(tmp_path, MAP)
    name = f"smac_jax/{path}"
    spec, content = envs.spec(name), envs.content(name)
    path.unlink()
    with pytest.raises(UsageError, match="cannot read"):
        envs.spec(name)
    assert envs.spec(name, content) == envs.make(name, content).spec == spec
    assert content is not None
    with pytest.raises(UsageError, match=r"the stored content of .*file.toml: limit is 0; allowed"):
        envs.make(name, content | {"limit": 0})
    with pytest.raises(UsageError, match=r"probe/relay.*does not read map files"):
        envs.make("probe/relay", content)


def test_some_figures_of_the_packages_own_tables() -> None:
    # Liquipedia's Stalker; SMAC's own points and cells of corridor.
    stalker, zergling = unit_types()["stalker"], unit_types()["zergling"]
    assert (stalker.health, stalker.shield, stalker.damage_against(stalker), stalker.range) == (80, 80, 13 + 5, 6)
    assert (zergling.shield, zergling.regeneration, zergling.scan_range, zergling.climbs) == (0, 0.38, 5, False)
    assert unit_types()["colossus"].splash == (2.8, 0.3)
    corridor = get_map("corridor")
    assert (corridor.limit, corridor.attack_point, len(corridor.walls)) == (400, (4.47, 4.33), 20)
    assert [squad.count for squad in (*corridor.allies, *corridor.enemies)] == [6, 24]
    assert get_map("2c_vs_64zg").cliffs == ((4, 12, 28, 14),)


def test_every_table_in_the_package_is_listed() -> None:
    files = Path(loading.__file__).parent / "maps"
    assert {path.stem for path in files.glob("*.toml")} == set(MAP_NAMES)


def test_what_is_in_a_map_file_is_what_decides_how_it_plays(tmp_path: Path) -> None:
    (tmp_path / "units.toml").write_text(UNITS)
    path = write(tmp_path, MAP.replace('"zealot"', '"tough_zealot"') + 'units = "units.toml"\n')
    content = envs.content(f"smac_jax/{path}")
    assert content is not None and content == json.loads(json.dumps(content))
    assert (content["limit"], content["allies"][0]["count"], sorted(content["units"])) == (
        200,
        3,
        ["stalker", "tough_zealot"],
    )
    tough = content["units"]["tough_zealot"]
    assert (tough["health"], tough["attributes"]) == (150, sorted(unit_types()["zealot"].attributes))
    path.write_text(path.read_text() + "# nothing new\n")
    assert envs.content(f"smac_jax/{path}") == content
    assert envs.content("smac_jax/3s_vs_3z") is None


@pytest.mark.parametrize(
    ("map_name", "text", "message"),
    [
        ("missing.toml", None, "cannot read the map file .*missing.toml"),
        ("file.toml", MAP.replace("limit = 200", "limit = 0"), "line 3: limit is 0"),
        ("file.toml", MAP + 'units = "missing.toml"\n', "units is 'missing.toml'.*No such file"),
        ("file.toml", MAP + "units = 3\n", "units is 3; allowed: the path of a unit file.*or tables"),
    ],
)
def test_a_map_file_at_fault_is_the_users_mistake(tmp_path: Path, map_name: str, text: str, message: str) -> None:
    if text:
        write(tmp_path, text)
    with pytest.raises(UsageError, match=message):
        envs.spec(f"smac_jax/{tmp_path / map_name}")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("limit = 200", "limit = 0", r"line 3: limit is 0; allowed: a whole number from 1 to 100000"),
        ("limit = 200", "limit = 99999999999999999999", r"line 3: limit is 9999.*from 1 to 100000"),
        ("count = 4", "count = 100000000", r"line 7: enemies\[0\].count is 100000000; .*from 1 to 500"),
        ("[[0, 0, 32, 8]]", f"[[0, 0, 1{400 * '0'}, 8]]", r"line 5: walls\[0\] is \[0, 0, 1000"),
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
        ("limit = 200", "limit = 200\nhunt = true", r"line 4: hunt is True; allowed: true or false; no attack_point"),
        ("limit = 200", "limit = 200\nhunt = 1", r"line 4: hunt is 1; allowed: true or false"),
        ("limit = 200", "limit = = 200", r"not valid TOML: .*line 3"),
        ('"stalker"', '["stalker"]', r"line 6: allies\[0\].unit is \['stalker'\]; allowed: one of stalker"),
        ("at = [9, 16]", "at = [9, nan]", r"line 6: allies\[0\].at is \[9, nan\]"),
        (
            "[[0, 0, 32, 8]]",
            "[[7, 0, 11, 32]]",
            r"line 6: a stalker of the allies would start at \(8.\d, .*on ground it",
        ),
        ("at = [23, 16]", "at = [31.9, 16]", r"line 7: a zealot of the enemies would start at \(32.\d, .*off the map"),
        ("attack_point = [9, 16]", "attack_point = [9, 7.5]", r"line 4: attack_point is \[9, 7.5\].*free of walls"),
    ],
)
def test_faults_in_maps(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_map(write(tmp_path, MAP.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("health = 150", "health = 0", r"line 4: tough_zealot.health is 0; allowed: a number above 0 up to 1000000"),
        ("health = 150", "health = 1e300", r"line 4: tough_zealot.health is 1e\+300; .*up to 1000000"),
        ("health = 150", "attacks = 1000", r"line 4: tough_zealot.attacks is 1000; allowed: .*from 1 to 20"),
        ("health = 150", "helth = 150", r"line 4: tough_zealot.helth is 150; allowed: no such field"),
        ('like = "zealot"', "", r"tough_zealot.damage is None; allowed: a number, or `like`"),
        (
            'like = "zealot"',
            'like = "zelot"',
            r"line 3: tough_zealot.like is 'zelot'; allowed: one of stalker",
        ),
        ("health = 150", 'attributes = ["soft"]', r"attributes is \['soft'\]; allowed: a list of armoured"),
        (
            "health = 150",
            "health = inf",
            r"line 4: tough_zealot.health is inf; allowed: a number above 0 up to 1000000",
        ),
        ("[2, 0.5]", "[nan, 1]", r"line 5: tough_zealot.splash is \[nan, 1\]"),
        ('"zealot"', '["zealot"]', r"line 3: tough_zealot.like is \['zealot'\]; allowed: one of stalker"),
        ("health = 150", 'bonus_against = ["light"]', r"line 4: tough_zealot.bonus_against is \['light'\]"),
        ("health = 150", "number = 1.5", r"line 4: tough_zealot.number is 1.5; allowed: a whole number"),
        ("health = 150", "health = 150\n\n[other]\nlike = 'zealot'\nhealth = 0", r"line 8: other.health is 0"),
    ],
)
def test_faults_in_units(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_units(write(tmp_path, UNITS.replace(old, new)))


TABLES = """
limit = 200

[[allies]]
unit = "stalker"
count = 3
at = [9, 16]

[[enemies]]
unit = "zealot"
count = 4
at = [23, 16]

[[enemies]]  # more of them
unit = "zealot"
count = 1
at = [23, 22]
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("count = 3", "count = 0", r"line 6: allies\[0\].count is 0"),
        ("count = 4", "count = 0", r"line 11: enemies\[0\].count is 0"),
        ("count = 1", "count = 0", r"line 16: enemies\[1\].count is 0"),
        ("count = 1", "", r"line 14: enemies\[1\].count is None"),
        ("limit = 200", "", r"file.toml: limit is None"),
    ],
)
def test_the_line_is_that_of_the_squad_at_fault(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_map(write(tmp_path, TABLES.replace(old, new)))


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"file\.toml: not valid TOML: .*utf-8"):
        load_map(path)
