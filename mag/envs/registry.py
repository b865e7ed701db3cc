"""Environments by name: `family/map`."""

import difflib
import importlib
import re
from typing import Any, cast

from mag.envs.contract import Cautions, Env, EnvSpec, Family, Notes, Refuses, TakesFiles
from mag.envs.nearest_first import HostNearestFirst, NearestFirst, with_nearest_first
from mag.errors import UsageError
from mag.options import module_exists

_FAMILIES = {
    "jaxmarl": "mag.envs.jaxmarl",
    "pettingzoo": "mag.envs.pettingzoo",
    "probe": "mag.envs.probe",
    "smac_jax": "mag.envs.smac_jax",
    "smaclite": "mag.envs.smaclite",
    "smax": "mag.envs.smax",
    "starcraft": "mag.envs.starcraft",
}
"""The modules of the package's own families."""
_MEANT = {"": "smac_jax", "smac": "smac_jax"}
"""The family to suggest for a name without one, or for the benchmark's own name: the one with the paper's maps."""


def make(name: str, content: dict[str, Any] | None = None, *, nearest_first: bool = False) -> Env:
    """The environment called `name`: one of `names()`, `module.path/map`, or a map file such as `smac_jax/map.toml`.

    `content` is what `mag.envs.content` returned for a map from a file, and replaces the file, which may have changed
    or be gone. With `nearest_first` each agent is shown its nearest enemy first (`mag.envs.nearest_first`). Raises
    UsageError for a name of another form, for an unknown family or map (the message suggests the nearest known name),
    where an environment of one's own breaks the contract, and where enemies cannot be put in order.
    """
    family, map_name = _find(name)
    content = _content(name, family, map_name) if content is None else content
    env = family.make(map_name) if content is None else _takes_files(name, family).make_from_content(map_name, content)
    if own_module(name) and not is_host(name):
        from mag.envs.checking import check  # loads JAX, which looking for a name need not wait for

        check(env)
    if not nearest_first:
        return env
    return cast(Env, HostNearestFirst(env)) if is_host(name) else NearestFirst(env)


def spec(name: str, content: dict[str, Any] | None = None, *, nearest_first: bool = False) -> EnvSpec:
    """The spec of `make` with these arguments, without making it (no simulator is imported). Raises as `make`."""
    family, map_name = _find(name)
    content = _content(name, family, map_name) if content is None else content
    if content is not None:
        found = _takes_files(name, family).spec_from_content(map_name, content)
    else:
        found = family.specs()[map_name]
        if found.name != name:  # a process on the host makes the environment that the spec names
            raise UsageError(
                f"the family's specs() call {name} {found.name!r}; name it {name!r} there, in the spec or in the "
                "environment that makes the spec"
            )
    return with_nearest_first(found) if nearest_first else found


def content(name: str) -> dict[str, Any] | None:
    """The content of the map file in `name`, as JSON; None for a map that comes from no file. Raises as `make`."""
    return _content(name, *_find(name)) if name.endswith(".toml") else None


def notes(name: str, content: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """All that decides how an environment plays besides its name and `content`; None if nothing else does.

    A run stores these notes when it starts, and is not resumed if they have changed. Raises as `make`.
    """
    family, map_name = _find(name)
    if not isinstance(family, Notes):
        return None
    return family.notes(map_name, _content(name, family, map_name) if content is None else content)


def caution(name: str, content: dict[str, Any] | None = None) -> str | None:
    """A sentence to show before an environment is played that differs from the published one; else None.

    Raises as `make`.
    """
    family, map_name = _find(name)
    if not isinstance(family, Cautions):
        return None
    return family.caution(map_name, _content(name, family, map_name) if content is None else content)


def is_host(name: str) -> bool:
    """Whether an environment lives on the host (`mag.envs.host`): `make` returns a `HostEnv`. Raises as `make`."""
    return bool(getattr(_find(name)[0], "host", False))


def own_module(name: str) -> str | None:
    """The import path of the user's family that an environment's name begins with; None for the package's families."""
    family = name.partition("/")[0]
    return None if family in _FAMILIES else family


def names() -> list[str]:
    """Every name of the package's own families, sorted by family, then in the family's order."""
    return list(specs())


def specs() -> dict[str, EnvSpec]:
    """The spec of every environment in `names()`, by name; imports no simulator."""
    return {
        f"{family}/{map_name}": found
        for family, module in sorted(_FAMILIES.items())
        for map_name, found in importlib.import_module(module).specs().items()
    }


def _find(name: str) -> tuple[Family, str]:
    """The family and the map that `name` names. Raises UsageError if either does not exist."""
    family_name, slash, map_name = name.partition("/")
    if not slash or not family_name or not map_name:
        raise UsageError(
            f"environment {name!r}: expected `family/map`, with one of the families "
            f"{', '.join(sorted(_FAMILIES))}, or a module path for the family.{_nearest(name, names())}"
        )
    family = _family(name, family_name)
    known = family.specs()
    if map_name in known or (map_name.endswith(".toml") and isinstance(family, TakesFiles)):
        return family, map_name
    if reason := _refusal(family, map_name):
        raise UsageError(f"environment {name!r}: {reason}")
    allowed = [f"{family_name}/{each}" for each in known]
    raise UsageError(
        f"environment {name!r}: family {family_name!r} has no map {map_name!r}. Allowed: "
        f"{', '.join(known)}.{_nearest(name, allowed)}"
    )


def _refusal(family: Family, map_name: str) -> str | None:
    """Why a family refuses to make a map; None if it gives no reason."""
    refusals = family.refusals if isinstance(family, Refuses) else {}
    return next((reason for pattern, reason in refusals.items() if re.fullmatch(pattern, map_name)), None)


def _family(name: str, family_name: str) -> Family:
    """The module of a family; `name` is the environment's name, for error messages."""
    module = _FAMILIES.get(family_name, family_name)
    if not module_exists(module):
        raise UsageError(
            f"environment {name!r}: there is no family {family_name!r}. Allowed: "
            f"{', '.join(sorted(_FAMILIES))}, or the import path of a module, here or on PYTHONPATH."
            f"{_nearest(name, names())}"
        )
    family = importlib.import_module(module)
    if not isinstance(family, Family):
        raise UsageError(
            f"environment {name!r}: module {module!r} is not a family of environments: it needs the functions "
            f"`specs` and `make` (see `mag.envs.Family`).{_nearest(name, names())}"
        )
    return family


def _content(name: str, family: Family, map_name: str) -> dict[str, Any] | None:
    """The content of a map file; None for one of the family's own maps."""
    return None if map_name in family.specs() else _takes_files(name, family).content_of_file(map_name)


def _takes_files(name: str, family: Family) -> TakesFiles:
    if not isinstance(family, TakesFiles):
        raise UsageError(
            f"environment {name!r}: its family does not read map files, but the content of one was given; "
            "`mag.envs.TakesFiles` describes the families that do"
        )
    return family


def _nearest(name: str, allowed: list[str]) -> str:
    """A sentence that suggests the allowed name most like `name`, as a whole or by its map."""
    family, _, map_name = name.rpartition("/")
    name = f"{_MEANT.get(family, family)}/{map_name}"
    maps = [each.partition("/")[2] for each in allowed]
    found = []
    if map_name not in maps:
        found = difflib.get_close_matches(name, allowed, n=1)
        map_name = next(iter(difflib.get_close_matches(map_name, maps, n=1)), "")
    if not found:
        same_map = [each for each, its_map in zip(allowed, maps, strict=True) if its_map == map_name]
        found = difflib.get_close_matches(name, same_map, n=1, cutoff=0.0)
    return f" Did you mean {found[0]!r}?" if found else " `mag envs` lists every name."
