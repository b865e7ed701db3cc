"""Maps and units, the package's own and a user's, read from small TOML files.

A map file:

    name = "three_on_four"
    limit = 200                     # environment steps
    attack_point = [9, 16]          # where the enemies attack-move to; leave out if they hold
    hunt = false                    # true instead of an attack_point: the enemies chase the allies wherever they go
    size = [32, 32]
    walls = [[0, 0, 32, 8]]         # left, bottom, right, top: ground no unit enters
    cliffs = []                     # ground only climbing units enter
    allies = [{ unit = "stalker", count = 3, at = [9, 16] }]
    enemies = [{ unit = "zealot", count = 4, at = [23, 16] }]
    units = "units.toml"            # beside the map file; leave out if all units are the package's own

`mag train --env smac_jax/path/to/map.toml` plays it. A run stores the content of its map: it refuses to resume with a
changed file, and can be tested and watched even if the file is gone. The paper's eight SMAC maps, in `maps/`, are
further examples.

A unit file adds to the units of `units.toml` or replaces them:

    [tough_zealot]
    like = "zealot"                 # start from this unit; without it, give every field that has no default
    health = 150
    splash = [2.8, 0.3]             # width, depth

The same tables may stand in the map file itself, as `[units.tough_zealot]`.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any

from mag.envs.smac_jax.maps import Map, Rect, Squad
from mag.envs.smac_jax.source import GREATEST, Source, are_numbers, read_toml
from mag.envs.smac_jax.units import ABILITIES, ATTRIBUTES, Number, Splash, UnitType
from mag.errors import UsageError

MAP_NAMES = ("2s_vs_1sc", "2s3z", "3s_vs_3z", "3s_vs_4z", "3s_vs_5z", "2c_vs_64zg", "corridor", "3s5z_vs_3s6z")
"""SMAC's maps in this package, in the paper's order."""

_FOLDER = Path(__file__).parent
_MOST = {"limit": 100_000, "count": 500, "columns": 500, "attacks": 20, "side": 64}
"""Greatest values: the table of shortest ways has a map's cells squared, and the loop over attacks is unrolled."""
_MAP_FIELDS = {
    "name": "a string",
    "limit": f"a whole number from 1 to {_MOST['limit']}",
    "attack_point": "[x, y] on the map",
    "hunt": "true or false; no attack_point beside true",
    "size": f"[width, height], whole numbers from 1 to {_MOST['side']}",
    "walls": "a list of [left, bottom, right, top], whole numbers",
    "cliffs": "a list of [left, bottom, right, top], whole numbers",
    "allies": "a list of squads { unit, count, at = [x, y] }, not empty",
    "enemies": "a list of squads { unit, count, at = [x, y] }, not empty",
    "units": "the path of a unit file, from the map file's folder, or tables [units.name] of fields",
}
_SQUAD_FIELDS = {
    "unit": "the name of a unit",
    "count": f"a whole number from 1 to {_MOST['count']}",
    "at": "[x, y] on the map",
    "columns": f"a whole number from 1 to {_MOST['columns']}",
}
_POSITIVE = {"health", "cooldown", "radius", "attacks", "state_cooldown"}


@functools.cache
def unit_types() -> dict[str, UnitType]:
    """The package's own units, by name."""
    return _units(read_toml(_FOLDER / "units.toml", "unit"), {})


@functools.cache
def get_map(name: str) -> Map:
    """One of the package's own maps. Raises UsageError for a name that is not in `MAP_NAMES`."""
    if name not in MAP_NAMES:
        raise UsageError(f"unknown map {name!r}; known maps: {', '.join(MAP_NAMES)}; or load_map(path) for your own")
    return load_map(_FOLDER / "maps" / f"{name}.toml")


def load_units(path: str | Path) -> dict[str, UnitType]:
    """The package's own units and those of a unit file. Raises UsageError that names the field at fault."""
    return _units(read_toml(path, "unit"), unit_types())


def load_map(path: str | Path, units: dict[str, UnitType] | None = None) -> Map:
    """The map in a file. A map file that names no units of its own uses `units`, by default the package's.

    Raises UsageError that names the field at fault.
    """
    return _map(read_toml(path, "map"), unit_types() if units is None else units)


def map_in(source: Source) -> Map:
    """The map in a file that has been read. Raises as `load_map`."""
    return _map(source, unit_types())


def map_from(content: dict[str, Any], place: str) -> Map:
    """The map with content from `content_of`; `place` names the content in errors. Raises as `load_map`."""
    return _map(Source(place, content), unit_types())


def content_of(game_map: Map) -> dict[str, Any]:
    """All that decides how a map plays, as JSON in the form of a map file that contains its units."""
    kinds = {unit.name: unit for unit in (*game_map.ally_types, *game_map.enemy_types)}
    content = {
        "name": game_map.name,
        "limit": game_map.limit,
        "attack_point": None if game_map.attack_point is None else list(game_map.attack_point),
        "hunt": game_map.hunt,
        "size": [game_map.width, game_map.height],
        "walls": [list(wall) for wall in game_map.walls],
        "cliffs": [list(cliff) for cliff in game_map.cliffs],
        "allies": [_squad_content(squad) for squad in game_map.allies],
        "enemies": [_squad_content(squad) for squad in game_map.enemies],
        "units": {name: _unit_content(unit) for name, unit in kinds.items()},
    }
    return _given(content)


def _squad_content(squad: Squad) -> dict[str, Any]:
    return _given({"unit": squad.unit, "count": squad.count, "at": [squad.x, squad.y], "columns": squad.columns})


def _unit_content(unit: UnitType) -> dict[str, Any]:
    fields = {field.name: getattr(unit, field.name) for field in dataclasses.fields(unit) if field.name != "name"}
    splash = None if unit.splash is None else list(unit.splash)
    return _given(fields | {"attributes": sorted(unit.attributes), "splash": splash})


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that have a value: TOML has no null."""
    return {key: value for key, value in fields.items() if value is not None}


def _map(source: Source, units: dict[str, UnitType]) -> Map:
    """A checked map; `units` are the units it may use besides its own."""
    defaults = {"name": Path(source.place).stem, "hunt": False, "size": [32, 32], "walls": [], "cliffs": []}
    fields: dict[str, Any] = defaults | source.fields
    source.check_known("", fields, _MAP_FIELDS)
    for field in ("limit", "allies", "enemies"):
        if field not in fields:
            raise source.fault(field, None, _MAP_FIELDS[field])
    if not isinstance(fields["name"], str):
        raise source.fault("name", fields["name"], _MAP_FIELDS["name"])
    if not isinstance(fields["hunt"], bool) or (fields["hunt"] and "attack_point" in fields):
        raise source.fault("hunt", fields["hunt"], _MAP_FIELDS["hunt"])
    if "units" in fields:
        units = _own_units(source, fields["units"], units)
    size = fields["size"]
    if not (are_numbers(size, 2) and all(isinstance(side, int) and 0 < side <= _MOST["side"] for side in size)):
        raise source.fault("size", size, _MAP_FIELDS["size"])
    game_map = Map(
        name=fields["name"],
        allies=_squads(source, "allies", fields["allies"], units, size),
        enemies=_squads(source, "enemies", fields["enemies"], units, size),
        limit=_count(source, "limit", fields["limit"]),
        attack_point=_attack_point(source, fields.get("attack_point"), size),
        walls=_rects(source, "walls", fields["walls"]),
        cliffs=_rects(source, "cliffs", fields["cliffs"]),
        width=size[0],
        height=size[1],
        units=units,
        hunt=fields["hunt"],
    )
    _check_starts(source, game_map)
    return game_map


def _check_starts(source: Source, game_map: Map) -> None:
    """Raise if a unit would start, or the enemies would walk to, where no such unit can stand."""
    places = [(float(x), float(y)) for x, y in game_map.start_positions()]
    count = len(game_map.ally_types)
    for side, types, starts in (
        ("allies", game_map.ally_types, places[:count]),
        ("enemies", game_map.enemy_types, places[count:]),
    ):
        for unit, (x, y) in zip(types, starts, strict=True):
            if _is_barred(game_map, x, y, climbs=unit.climbs):
                raise UsageError(
                    f"{source.place}{source.line(side)}: a {unit.name} of the {side} would start at "
                    f"({x:.1f}, {y:.1f}), off the map or on ground it cannot enter; move its squad, or the walls and "
                    "cliffs"
                )
    if (goal := game_map.attack_point) is not None and _is_barred(game_map, *goal, climbs=False):
        raise source.fault("attack_point", list(goal), "[x, y] on ground that is free of walls and cliffs")


def _is_barred(game_map: Map, x: Number, y: Number, *, climbs: bool) -> bool:
    """Whether a unit cannot stand at a point."""
    rects = game_map.walls if climbs else (*game_map.walls, *game_map.cliffs)
    on_map = 0 <= x < game_map.width and 0 <= y < game_map.height
    return not on_map or any(r.left <= x < r.right and r.bottom <= y < r.top for r in rects)


def _own_units(source: Source, value: Any, units: dict[str, UnitType]) -> dict[str, UnitType]:
    """The units that a map file names or contains, added to `units`."""
    if isinstance(value, dict):
        return _units(source._replace(fields=value), units, prefix="units.")
    if not isinstance(value, str):
        raise source.fault("units", value, _MAP_FIELDS["units"])
    if not (source.folder / value).is_file():
        raise source.fault("units", value, f"{_MAP_FIELDS['units']}; No such file")
    return _units(read_toml(source.folder / value, "unit"), units)


def _units(source: Source, base: dict[str, UnitType], prefix: str = "") -> dict[str, UnitType]:
    """The units in `source`, each of them a table of fields, added to `base`; `prefix` leads to them in the file."""
    units = dict(base)
    for name, fields in source.fields.items():
        if not isinstance(fields, dict):
            raise source.fault(prefix + name, fields, f"a table [{prefix}unit_name] of fields")
        units[name] = _unit(source, prefix + name, name, fields, units)
    return units


def _unit(source: Source, path: str, name: str, fields: dict[str, Any], units: dict[str, UnitType]) -> UnitType:
    """One unit, whose fields stand at `path`."""
    known = {field.name: field for field in dataclasses.fields(UnitType) if field.name != "name"}
    source.check_known(path, fields, ["like", *known])
    like: dict[str, Any] = {}
    if "like" in fields:
        if not _is_name(fields["like"], units):
            raise source.fault(f"{path}.like", fields["like"], f"one of {', '.join(units)}")
        like = {key: getattr(units[fields["like"]], key) for key in known}
    given = {key: _unit_field(source, f"{path}.{key}", key, fields[key]) for key in fields if key != "like"}
    for key, field in known.items():
        if key not in like | given and field.default is dataclasses.MISSING:
            raise source.fault(f"{path}.{key}", None, "a number, or `like` a unit that has it")
    return UnitType(**like | given, name=name)


def _unit_field(source: Source, path: str, key: str, value: Any) -> Any:
    """One field of a unit, checked, as `UnitType` holds it."""
    if key == "bonus_against":
        if not _is_name(value, ATTRIBUTES):
            raise source.fault(path, value, f"one of {', '.join(sorted(ATTRIBUTES))}")
        return value
    if key == "ability":
        if not _is_name(value, ABILITIES):
            raise source.fault(path, value, f"one of {', '.join(sorted(ABILITIES))}")
        return value
    if key == "attributes":
        if not isinstance(value, list) or not set(map(str, value)) <= ATTRIBUTES:
            raise source.fault(path, value, f"a list of {', '.join(sorted(ATTRIBUTES))}")
        return frozenset(value)
    if key == "splash":
        if not are_numbers(value, 2) or min(value) < 0:
            raise source.fault(path, value, "[width, depth], not negative")
        return Splash(*value)
    if key == "climbs":
        if not isinstance(value, bool):
            raise source.fault(path, value, "true or false")
        return value
    if key == "attacks":
        return _count(source, path, value)
    if key == "number":
        return source.check_count(path, value, 0, int(GREATEST))
    if not are_numbers([value], 1) or value < 0 or (key in _POSITIVE and value == 0):
        least = "above" if key in _POSITIVE else "from"
        raise source.fault(path, value, f"a number {least} 0 up to {GREATEST:.0f}")
    return value


def _squads(source: Source, side: str, value: Any, units: dict[str, UnitType], size: list[int]) -> tuple[Squad, ...]:
    """The squads of one side."""
    if not isinstance(value, list) or not value:
        raise source.fault(side, value, _MAP_FIELDS[side])
    squads = []
    for i, squad in enumerate(value):
        path = f"{side}[{i}]"
        if not isinstance(squad, dict):
            raise source.fault(path, squad, "{ unit, count, at = [x, y] }")
        source.check_known(path, squad, _SQUAD_FIELDS)
        if not _is_name(squad.get("unit"), units):
            raise source.fault(f"{path}.unit", squad.get("unit"), f"one of {', '.join(units)}")
        x, y = _point(source, f"{path}.at", squad.get("at"), size)
        count = _count(source, f"{path}.count", squad.get("count"))
        columns = _count(source, f"{path}.columns", squad["columns"]) if "columns" in squad else None
        squads.append(Squad(squad["unit"], count, x, y, columns))
    return tuple(squads)


def _rects(source: Source, field: str, value: Any) -> tuple[Rect, ...]:
    """Rectangles of unwalkable ground."""
    if not isinstance(value, list):
        raise source.fault(field, value, _MAP_FIELDS[field])
    for i, rect in enumerate(value):
        whole = are_numbers(rect, 4) and all(isinstance(side, int) for side in rect)
        if not whole or rect[0] >= rect[2] or rect[1] >= rect[3]:
            allowed = "[left, bottom, right, top], whole numbers with left < right and bottom < top"
            raise source.fault(f"{field}[{i}]", rect, allowed)
    return tuple(Rect(*rect) for rect in value)


def _attack_point(source: Source, value: Any, size: list[int]) -> tuple[Number, Number] | None:
    return None if value is None else _point(source, "attack_point", value, size)


def _point(source: Source, field: str, value: Any, size: list[int]) -> tuple[Number, Number]:
    """A point on the map."""
    if not are_numbers(value, 2) or not (0 <= value[0] <= size[0] and 0 <= value[1] <= size[1]):
        raise source.fault(field, value, f"[x, y] with 0 <= x <= {size[0]} and 0 <= y <= {size[1]}")
    return value[0], value[1]


def _count(source: Source, field: str, value: Any) -> int:
    """A whole number from 1 to the most that its field allows."""
    return source.check_count(field, value, 1, _MOST[field.rpartition(".")[2]])


def _is_name(value: Any, names: dict[str, Any] | frozenset[str]) -> bool:
    """Whether `value` is one of `names`."""
    return isinstance(value, str) and value in names
