"""Environments by name: `family/map`."""

import difflib
import importlib
import importlib.util
from typing import Any

from mag.envs.contract import Env, EnvSpec, Family, TakesFiles
from mag.errors import UsageError

_FAMILIES = {
    "jaxmarl": "mag.envs.jaxmarl",
    "probe": "mag.envs.probe",
    "smac_jax": "mag.envs.smac_jax",
    "smax": "mag.envs.smax",
}
"""The modules of the package's own families."""


def make(name: str) -> Env:
    """The environment called `name`, `family/map` (one of `names()`, `module.path/map`, or `smac_jax/map.toml`).

    Raises UsageError for a name that is not of that form, an unknown family or an unknown map: it names the
    value, what is allowed and the nearest known name.
    """
    family, map_name = _find(name)
    return family.make(map_name)


def spec(name: str) -> EnvSpec:
    """What `make(name).spec` would be, without making it (no simulator is imported). Raises as `make`."""
    family, map_name = _find(name)
    if map_name in (known := family.specs()):
        return known[map_name]
    assert isinstance(family, TakesFiles)
    return family.spec_of_file(map_name)


def content(name: str) -> dict[str, Any] | None:
    """What is in the file of a map that comes from one; None where the name says it all. Raises as `make`."""
    if not name.endswith(".toml"):
        return None
    family, path = _find(name)
    return family.content_of_file(path) if isinstance(family, TakesFiles) else None


def names() -> list[str]:
    """Every name of the package's own families, sorted by family, then in the family's order."""
    return list(specs())


def specs() -> dict[str, EnvSpec]:
    """The spec of every environment in `names()`, by name; imports no simulator."""
    return {
        f"{family}/{map_name}": found
        for family, module in sorted(_FAMILIES.items())
        for map_name, found in _load(module).specs().items()
    }


def _find(name: str) -> tuple[Family, str]:
    """Family and map of `name`; UsageError where there are none."""
    family_name, slash, map_name = name.partition("/")
    if not slash or not family_name or not map_name:
        raise UsageError(
            f"environment {name!r}: expected `family/map`, with one of the families "
            f"{', '.join(sorted(_FAMILIES))}, or a module path for the family.{_nearest(name, names())}"
        )
    module = _FAMILIES.get(family_name, family_name)
    if not _exists(module):
        raise UsageError(
            f"environment {name!r}: there is no family {family_name!r}. Allowed: "
            f"{', '.join(sorted(_FAMILIES))}, or the import path of a module.{_nearest(name, names())}"
        )
    family = _load(module)
    if not isinstance(family, Family):
        raise UsageError(
            f"environment {name!r}: module {module!r} is no family of environments: it needs the functions "
            f"`specs` and `make` (see `mag.envs.Family`).{_nearest(name, names())}"
        )
    known = family.specs()
    if map_name not in known and not (map_name.endswith(".toml") and isinstance(family, TakesFiles)):
        allowed = [f"{family_name}/{each}" for each in known]
        raise UsageError(
            f"environment {name!r}: family {family_name!r} has no map {map_name!r}. Allowed: "
            f"{', '.join(known)}.{_nearest(name, allowed)}"
        )
    return family, map_name


def _exists(module: str) -> bool:
    """Whether `module` can be imported; parents of a dotted path are."""
    try:
        return not module.startswith(".") and importlib.util.find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        return False


def _load(module: str) -> Any:
    return importlib.import_module(module)


def _nearest(name: str, allowed: list[str]) -> str:
    """A sentence that suggests the allowed name most like `name`, by the whole of it or by its map."""
    map_name = name.rpartition("/")[2]
    maps = [each.partition("/")[2] for each in allowed]
    found = []
    if map_name not in maps:
        found = difflib.get_close_matches(name, allowed, n=1)
        map_name = next(iter(difflib.get_close_matches(map_name, maps, n=1)), "")
    if not found:
        same_map = [each for each, its_map in zip(allowed, maps, strict=True) if its_map == map_name]
        found = difflib.get_close_matches(name, same_map, n=1, cutoff=0.0)
    return f" Did you mean {found[0]!r}?" if found else " `mag envs` lists every name."
