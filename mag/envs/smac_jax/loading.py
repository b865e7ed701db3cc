"""Maps and unit tables of your own, read from small TOML files.

A map file:

    name = "three_on_four"
    limit = 200                     # environment steps
    attack_point = [9, 16]          # where the enemies walk to; leave out if they hold
    size = [32, 32]
    walls = [[0, 0, 32, 8]]         # left, bottom, right, top: ground nobody enters
    cliffs = []                     # ground only climbing units enter
    allies = [{ unit = "stalker", count = 3, at = [9, 16] }]
    enemies = [{ unit = "zealot", count = 4, at = [23, 16] }]
    units = "units.toml"            # beside the map file; leave out if its units are all in the table

`mag train --env smac_jax/path/to/map.toml` plays it. A run notes its map and refuses to go on with a changed one.

A unit file, whose units join those of `UNIT_TYPES` or replace them:

    [tough_zealot]
    like = "zealot"                 # start from this unit; else give every field without a default
    health = 150
    splash = [2.8, 0.3]             # width, depth
"""

import dataclasses
import re
import tomllib
from collections.abc import Container
from pathlib import Path
from typing import Any

from mag.envs.smac_jax.maps import Map, Rect, Squad
from mag.envs.smac_jax.units import ATTRIBUTES, UNIT_TYPES, Number, Splash, UnitType

_MOST = {"limit": 100_000, "count": 500, "columns": 500, "attacks": 20, "side": 64}
"""Greatest values: shortest ways are tables of a map's cells by its cells, and attacks of a volley are counted out."""
_GREATEST = 1e6
"""Of any number."""
_MAP_FIELDS = {
    "name": "a string",
    "limit": f"a whole number from 1 to {_MOST['limit']}",
    "attack_point": "[x, y] on the map",
    "size": f"[width, height], whole numbers from 1 to {_MOST['side']}",
    "walls": "a list of [left, bottom, right, top], whole numbers",
    "cliffs": "a list of [left, bottom, right, top], whole numbers",
    "allies": "a list of squads { unit, count, at = [x, y] }, not empty",
    "enemies": "a list of squads { unit, count, at = [x, y] }, not empty",
    "units": "the path of a unit file, from the map file's folder",
}
_SQUAD_FIELDS = {
    "unit": "the name of a unit",
    "count": f"a whole number from 1 to {_MOST['count']}",
    "at": "[x, y] on the map",
    "columns": f"a whole number from 1 to {_MOST['columns']}",
}
_POSITIVE = {"health", "cooldown", "radius", "attacks", "state_cooldown"}
_TEXTS = {"bonus_against"}


class _File:
    """A parsed TOML file that can say on which line a field stands."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.text = self.path.read_text(encoding="utf-8")
            self.content = tomllib.loads(self.text)
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"{self.path}: not valid TOML: {error}") from error

    def fault(self, field: str, given: Any, allowed: str) -> ValueError:
        """The error for `field` (dotted, with [i] for list entries)."""
        return ValueError(f"{self.path}{self.line(field)}: {field} is {given!r}; allowed: {allowed}")

    def line(self, field: str) -> str:
        """`, line n` of the field, or of what holds it where that is written in one go, or nothing."""
        lines = self.text.splitlines()
        headers = [number for number, line in enumerate(lines) if re.match(r"\s*\[+[^],]+\]+\s*(#.*)?$", line)]
        ends = [*headers, len(lines)]
        keys, found = range(ends[0]), None  # those of the file itself come before its tables
        for part in field.split("."):
            name, _, index = part.rstrip("]").partition("[")
            tables = [number for number in headers if lines[number].strip().split("]")[0].strip("[ ") == name]
            if tables and found is None:
                found = tables[min(int(index or 0), len(tables) - 1)]
                keys = range(found + 1, next(end for end in ends if end > found))
            else:
                here = (number for number in keys if re.match(rf"\s*{re.escape(name)}\s*=", lines[number]))
                found, keys = next(here, found), range(0)
        return "" if found is None else f", line {found + 1}"


def load_units(path: str | Path) -> dict[str, UnitType]:
    """The unit table with the units of a file added; ValueError names the field at fault."""
    file = _File(path)
    table = dict(UNIT_TYPES)
    for name, fields in file.content.items():
        if not isinstance(fields, dict):
            raise file.fault(name, fields, "a table [unit_name] of fields")
        table[name] = _unit(file, name, fields, table)
    return table


def load_map(path: str | Path, units: dict[str, UnitType] | None = None) -> Map:
    """The map of a file, fought with its own unit file or else the unit table `units` (default `UNIT_TYPES`).

    ValueError names the field at fault.
    """
    file = _File(path)
    content = {"name": file.path.stem, "size": [32, 32], "walls": [], "cliffs": []} | file.content
    _only_known(file, "", content, _MAP_FIELDS)
    for field in ("limit", "allies", "enemies"):
        if field not in content:
            raise file.fault(field, None, _MAP_FIELDS[field])
    if not isinstance(content["name"], str):
        raise file.fault("name", content["name"], _MAP_FIELDS["name"])
    if "units" in content:
        units = _units_of(file, content["units"])
    table = UNIT_TYPES if units is None else units
    size = content["size"]
    if not (_numbers(size, 2) and all(isinstance(side, int) and 0 < side <= _MOST["side"] for side in size)):
        raise file.fault("size", size, _MAP_FIELDS["size"])
    attack_point = content.get("attack_point")
    if attack_point is not None:
        _check_point(file, "attack_point", attack_point, size)
    game_map = Map(
        name=content["name"],
        allies=_squads(file, "allies", content["allies"], table, size),
        enemies=_squads(file, "enemies", content["enemies"], table, size),
        limit=_count(file, "limit", content["limit"]),
        attack_point=None if attack_point is None else (attack_point[0], attack_point[1]),
        walls=_rects(file, "walls", content["walls"]),
        cliffs=_rects(file, "cliffs", content["cliffs"]),
        width=size[0],
        height=size[1],
        units=units,
    )
    _check_starts(file, game_map)
    return game_map


def _check_starts(file: _File, game_map: Map) -> None:
    """Raise ValueError where a unit would start, or the enemies are to walk to, where it cannot stand."""
    places = [(float(x), float(y)) for x, y in game_map.start_positions()]
    count = len(game_map.ally_types)
    for side, types, starts in (
        ("allies", game_map.ally_types, places[:count]),
        ("enemies", game_map.enemy_types, places[count:]),
    ):
        for unit, (x, y) in zip(types, starts, strict=True):
            if _is_barred(game_map, x, y, climbs=unit.climbs):
                raise ValueError(
                    f"{file.path}{file.line(side)}: of the {side} a {unit.name} would start at ({x:.1f}, {y:.1f}), off "
                    "the map or on ground it cannot enter; move its squad, or the walls and cliffs"
                )
    if (goal := game_map.attack_point) is not None and _is_barred(game_map, *goal, climbs=False):
        raise file.fault("attack_point", list(goal), "[x, y] on ground that is free of walls and cliffs")


def _is_barred(game_map: Map, x: Number, y: Number, *, climbs: bool) -> bool:
    """Whether a unit cannot stand at a point."""
    rects = game_map.walls if climbs else (*game_map.walls, *game_map.cliffs)
    on_map = 0 <= x < game_map.width and 0 <= y < game_map.height
    return not on_map or any(r.left <= x < r.right and r.bottom <= y < r.top for r in rects)


def _units_of(file: _File, value: Any) -> dict[str, UnitType]:
    """The unit table that a map file names."""
    if not isinstance(value, str):
        raise file.fault("units", value, _MAP_FIELDS["units"])
    try:
        return load_units(file.path.parent / value)
    except OSError as error:
        raise file.fault("units", value, f"{_MAP_FIELDS['units']}; {error.strerror}") from error


def _unit(file: _File, name: str, fields: dict[str, Any], table: dict[str, UnitType]) -> UnitType:
    """One unit of a unit file."""
    known = {field.name: field for field in dataclasses.fields(UnitType) if field.name != "name"}
    _only_known(file, name, fields, ["like", *known])
    base: dict[str, Any] = {}
    if "like" in fields:
        if not _known(fields["like"], table):
            raise file.fault(f"{name}.like", fields["like"], f"one of {', '.join(table)}")
        base = dataclasses.asdict(table[fields["like"]])
    given = {key: _unit_field(file, f"{name}.{key}", key, fields[key]) for key in fields if key != "like"}
    merged = base | given | {"name": name}
    for key, field in known.items():
        if key not in merged and field.default is dataclasses.MISSING:
            raise file.fault(f"{name}.{key}", None, "a number, or `like` a unit that has it")
    return UnitType(**merged)


def _unit_field(file: _File, path: str, key: str, value: Any) -> Any:
    """Checks one field of a unit and turns it into what `UnitType` holds."""
    if key in _TEXTS:
        if not _known(value, ATTRIBUTES):
            raise file.fault(path, value, f"one of {', '.join(sorted(ATTRIBUTES))}")
        return value
    if key == "attributes":
        if not isinstance(value, list) or not set(map(str, value)) <= ATTRIBUTES:
            raise file.fault(path, value, f"a list of {', '.join(sorted(ATTRIBUTES))}")
        return frozenset(value)
    if key == "splash":
        if not _numbers(value, 2) or min(value) < 0:
            raise file.fault(path, value, "[width, depth], not negative")
        return Splash(*value)
    if key == "climbs":
        if not isinstance(value, bool):
            raise file.fault(path, value, "true or false")
        return value
    if key == "attacks":
        return _count(file, path, value)
    if key == "number":
        return _count(file, path, value, least=0)
    if not _numbers([value], 1) or value < 0 or (key in _POSITIVE and value == 0):
        least = "above" if key in _POSITIVE else "from"
        raise file.fault(path, value, f"a number {least} 0 up to {_GREATEST:.0f}")
    return value


def _squads(file: _File, side: str, value: Any, table: dict[str, UnitType], size: list[int]) -> tuple[Squad, ...]:
    """The squads of one side."""
    if not isinstance(value, list) or not value:
        raise file.fault(side, value, _MAP_FIELDS[side])
    squads = []
    for i, squad in enumerate(value):
        path = f"{side}[{i}]"
        if not isinstance(squad, dict):
            raise file.fault(path, squad, "{ unit, count, at = [x, y] }")
        _only_known(file, path, squad, _SQUAD_FIELDS)
        if not _known(squad.get("unit"), table):
            raise file.fault(f"{path}.unit", squad.get("unit"), f"one of {', '.join(table)}")
        _check_point(file, f"{path}.at", squad.get("at"), size)
        count = _count(file, f"{path}.count", squad.get("count"))
        columns = _count(file, f"{path}.columns", squad["columns"]) if "columns" in squad else None
        x, y = squad["at"]
        squads.append(Squad(squad["unit"], count, x, y, columns))
    return tuple(squads)


def _rects(file: _File, field: str, value: Any) -> tuple[Rect, ...]:
    """Rectangles of unwalkable ground."""
    if not isinstance(value, list):
        raise file.fault(field, value, _MAP_FIELDS[field])
    for i, rect in enumerate(value):
        whole = _numbers(rect, 4) and all(isinstance(side, int) for side in rect)
        if not whole or rect[0] >= rect[2] or rect[1] >= rect[3]:
            allowed = "[left, bottom, right, top], whole numbers with left < right and bottom < top"
            raise file.fault(f"{field}[{i}]", rect, allowed)
    return tuple(Rect(*rect) for rect in value)


def _only_known(file: _File, path: str, fields: dict[str, Any], known: Any) -> None:
    for key in fields:
        if key not in known:
            field = f"{path}.{key}" if path else key
            raise file.fault(field, fields[key], f"no such field; the fields are {', '.join(known)}")


def _count(file: _File, field: str, value: Any, least: int = 1) -> int:
    most = _MOST.get(field.rpartition(".")[2], int(_GREATEST))
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise file.fault(field, value, f"a whole number from {least} to {most}")
    return value


def _check_point(file: _File, field: str, value: Any, size: list[int]) -> None:
    if not _numbers(value, 2) or not (0 <= value[0] <= size[0] and 0 <= value[1] <= size[1]):
        raise file.fault(field, value, f"[x, y] with 0 <= x <= {size[0]} and 0 <= y <= {size[1]}")


def _known(value: Any, names: Container[str]) -> bool:
    """Whether `value` is one of the names."""
    return isinstance(value, str) and value in names


def _numbers(value: Any, length: int) -> bool:
    """Whether `value` is a list of `length` numbers of a size to reckon with."""
    is_list = isinstance(value, list) and len(value) == length
    return is_list and all(
        isinstance(x, int | float) and not isinstance(x, bool) and abs(x) <= _GREATEST for x in value
    )
