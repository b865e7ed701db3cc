"""SMAC's maps in pure JAX, with SMAC's interface."""

from mag.envs.smac_jax.env import SMAC, State
from mag.envs.smac_jax.maps import MAPS, Map, Squad
from mag.envs.smac_jax.units import UNIT_TYPES, UnitType

__all__ = ["MAPS", "SMAC", "UNIT_TYPES", "Map", "Squad", "State", "UnitType"]
