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

`mag train --env smac_jax/path/to/map.toml` plays it. A run knows its map by the path alone: give a changed map another.

A unit file, whose units join those of `UNIT_TYPES` or replace them:

    [tough_zealot]
    like = "zealot"                 # start from this unit; else give every field without a default
    health = 150
    splash = [2.8, 0.3]             # width, depth
"""

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

from mag.envs.smac_jax.maps import Map, Rect, Squad
from mag.envs.smac_jax.units import ATTRIBUTES, UNIT_TYPES, Splash, UnitType

_MAP_FIELDS = {
    "name": "a string",
    "limit": "a whole number of at least 1",
    "attack_point": "[x, y] on the map",
    "size": "[width, height], whole numbers of at least 1",
    "walls": "a list of [left, bottom, right, top], whole numbers",
    "cliffs": "a list of [left, bottom, right, top], whole numbers",
    "allies": "a list of squads { unit, count, at = [x, y] }, not empty",
    "enemies": "a list of squads { unit, count, at = [x, y] }, not empty",
    "units": "the path of a unit file, from the map file's folder",
}
_SQUAD_FIELDS = {
    "unit": "the name of a unit",
    "count": "a whole number of at least 1",
    "at": "[x, y] on the map",
    "columns": "a whole number of at least 1",
}
_POSITIVE = {"health", "cooldown", "radius", "attacks", "state_cooldown"}
_TEXTS = {"bonus_against"}


class _File:
    """A parsed TOML file that can say on which line a field stands."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.text = self.path.read_text(encoding="utf-8")
        try:
            self.content = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{self.path}: not valid TOML: {error}") from error

    def fault(self, field: str, given: Any, allowed: str) -> ValueError:
        """The error for `field` (dotted, with [i] for list entries)."""
        return ValueError(f"{self.path}{self._line(field)}: {field} is {given!r}; allowed: {allowed}")

    def _line(self, field: str) -> str:
        """`, line n` of the field's innermost name that stands at the start of a line, or nothing."""
        for name in reversed(re.sub(r"\[\d+\]", "", field).split(".")):
            pattern = rf"^\s*(?:\[+\s*)?(?:{re.escape(name)})\s*(?:=|\])"
            for number, line in enumerate(self.text.splitlines(), 1):
                if re.match(pattern, line):
                    return f", line {number}"
        return ""


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
    if not (_numbers(size, 2) and all(isinstance(side, int) and side > 0 for side in size)):
        raise file.fault("size", size, _MAP_FIELDS["size"])
    attack_point = content.get("attack_point")
    if attack_point is not None:
        _check_point(file, "attack_point", attack_point, size)
    return Map(
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
        if fields["like"] not in table:
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
        if value not in ATTRIBUTES:
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
    if not _numbers([value], 1) or value < 0 or (key in _POSITIVE and value == 0):
        raise file.fault(path, value, "a positive number" if key in _POSITIVE else "a number of at least 0")
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
        if squad.get("unit") not in table:
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


def _count(file: _File, field: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise file.fault(field, value, "a whole number of at least 1")
    return value


def _check_point(file: _File, field: str, value: Any, size: list[int]) -> None:
    if not _numbers(value, 2) or not (0 <= value[0] <= size[0] and 0 <= value[1] <= size[1]):
        raise file.fault(field, value, f"[x, y] with 0 <= x <= {size[0]} and 0 <= y <= {size[1]}")


def _numbers(value: Any, length: int) -> bool:
    """Whether `value` is a list of `length` numbers."""
    is_list = isinstance(value, list) and len(value) == length
    return is_list and all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)
