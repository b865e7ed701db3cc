"""SMAC's maps in pure JAX, with SMAC's interface."""

from mag.envs.smac_jax.env import SMAC, State
from mag.envs.smac_jax.loading import load_map, load_units
from mag.envs.smac_jax.maps import MAPS, Map, Rect, Squad
from mag.envs.smac_jax.units import UNIT_TYPES, UnitType

__all__ = [
    "MAPS",
    "SMAC",
    "UNIT_TYPES",
    "Map",
    "Rect",
    "Squad",
    "State",
    "UnitType",
    "load_map",
    "load_units",
]
