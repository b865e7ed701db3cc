"""Checks that the game's units are those of a map's roster."""

from typing import Any

import numpy as np

from mag.envs.smac_jax.units import UnitType
from mag.errors import UsageError


def check_types(name: str, units: list[Any], roster: list[str]) -> None:
    """Raise UsageError unless sorted units form the roster's groups; the numbers of a map's own types are arbitrary."""
    order = list(dict.fromkeys(roster))
    found = list(dict.fromkeys(unit.unit_type for unit in units))
    same = len(order) == len(found) and [order.index(unit) for unit in roster] == [
        found.index(unit.unit_type) for unit in units
    ]
    if not same:
        counts = {kind: sum(unit.unit_type == kind for unit in units) for kind in found}
        raise UsageError(
            f"{name}: the map has allies of the types (number: count) {counts}, the roster "
            f"{ {unit: roster.count(unit) for unit in order} }; give the roster in the order of the map's types"
        )


def in_roster_order(name: str, units: list[Any], numbers: list[int]) -> list[Any]:
    """The enemies in the order of the roster's types (the game's numbers). Raises UsageError where they differ."""
    waiting: dict[int, list[Any]] = {}
    for unit in units:
        waiting.setdefault(unit.unit_type, []).append(unit)
    if {kind: len(each) for kind, each in waiting.items()} != {kind: numbers.count(kind) for kind in set(numbers)}:
        there = {kind: len(each) for kind, each in sorted(waiting.items())}
        raise UsageError(
            f"{name}: the map has enemies of the types (number: count) {there}, the roster "
            f"{ {kind: numbers.count(kind) for kind in sorted(set(numbers))} }; correct the roster"
        )
    return [waiting[number].pop(0) for number in numbers]


def check_vitals(name: str, units: list[Any], table: list[UnitType]) -> None:
    """Raise UsageError where the game's units do not have the health and shields of the unit table."""
    for unit, row in zip(units, table, strict=True):
        game, ours = (unit.health_max, unit.shield_max), (row.health, row.shield)
        if not np.allclose(game, ours, atol=0.5):
            raise UsageError(
                f"{name}: the game's {row.name} has {game[0]:g} health and {game[1]:g} shield, the unit table "
                f"{ours[0]:g} and {ours[1]:g}; play version 4.10 (`mag doctor` tells which there is), or give the map "
                "file its own units"
            )
