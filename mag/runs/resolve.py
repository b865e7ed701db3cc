"""From what a user gives to the configuration of a run: resolve, default, override, validate.

`mag train` and `mag.train` are two spellings of the same options, and both come here.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mag.algorithms.config import RunConfig, validate
from mag.algorithms.registry import ALGORITHMS, check_plans, check_used, default_config, find, planner_of
from mag.errors import UsageError
from mag.options import check_bounds, convert, options, override, unknown, values
from mag.planners.config import KINDS, planner_config
from mag.runtime import setup

PLANNER = "planner.kind"
Given = Mapping[str, Any]
"""Values by option (`planner.horizon`); text is read as the option's type."""
Spell = Callable[[str], str]
"""How the user writes an option."""


class Identity(NamedTuple):
    """The options on which the other options' defaults depend."""

    env: str
    algo: str
    size: str
    recipe: str
    planner: str | None
    """The kind of planner; None for the method's own."""

    def default(self, spec: Any = None) -> RunConfig:
        """The defaults; `auto` asks JAX for its device."""
        return default_config(self.algo, self.env, self.size, self.recipe, planner=self.planner, spec=spec)

    def preview(self, spec: Any = None) -> RunConfig:
        """The defaults on a CPU: help and error messages do not wait for JAX to name the device."""
        return self._replace(size="small" if self.size == "auto" else self.size).default(spec)


def resolve(
    given: Given, base: RunConfig | None = None, spell: Spell = str, note: Callable[[str], None] = lambda text: None
) -> RunConfig:
    """The configuration of a run from the options that a user gives, and JAX set up for it.

    `base` is another run's configuration: what differs from its defaults is taken over, unless given, and the rest
    follows from the new environment, method, size, recipe or planner. `note` is told which options have no use here.
    Mistakes that show without the environment are reported before JAX is loaded. Raises UsageError for an unknown or
    unused option, and for a wrong value.
    """
    identity = identify(given, base, spell)
    if identity.algo not in ALGORITHMS or identity.planner not in (None, *KINDS):
        give_threads(given, base or RunConfig(), spell)  # importing a user's module may already use JAX
    check_plans(identity.algo, identity.planner)
    preview = identity.preview()
    chosen = read(given, preview, spell)
    check_bounds(override(preview, chosen))
    give_threads(given, base or preview, spell)  # and so may the environment's
    from mag import envs

    spec = envs.spec(identity.env)
    default = identity.default(spec)
    kept = {} if base is None else changed_options(base)
    kept.pop(PLANNER, None)  # the identity has it
    used = usable(kept, default, chosen)
    if unused := [f"{name} {value}" for name, value in kept.items() if name not in used]:
        note(f"not taken from the run, because without use here: {', '.join(unused)}")
    config = override(default, {**read(used, default, spell), **chosen})
    validate(config)
    check_used(config, default)
    config.check_for(spec)
    if not envs.is_host(config.env):
        check_no_host(config, default)
    return config


def with_planner(config: RunConfig, given: Given, spec: Any, spell: Spell = str) -> RunConfig:
    """The configuration of a run whose planner has other options: `given`, by name (`planner.horizon`).

    The run's environment, `spec`, is not looked for again. Raises UsageError for an unknown or unused option, and for a
    wrong value.
    """
    identity = identify(given, config, spell)
    if identity.planner != planner_of(config):
        new: Any = identity.default(spec)
        config = dataclasses.replace(config, **{"planner": new.planner})
    changed = override(config, read(given, config, spell))
    validate(changed)
    check_used(changed, config)
    changed.check_for(spec)
    return changed


def check_no_host(config: RunConfig, default: RunConfig) -> None:
    """Raise UsageError where an option of the processes that play on the host differs from its default."""
    usual = values(default)
    for name, value in values(config).items():
        if name.startswith("host.") and value != usual[name]:
            raise UsageError(f"{name} is {value}, but JAX itself plays {config.env}, in no process; leave it out")


def identify(given: Given, base: RunConfig | None = None, spell: Spell = str) -> Identity:
    """The options that decide the defaults: as given, else as in `base`, else as in `RunConfig`."""
    usual = base or RunConfig()
    env, algo, size, recipe = (
        convert(spell(name), str, given.get(name, getattr(usual, name))) for name in ("env", "algo", "size", "recipe")
    )
    planner = planner_of(base) if base is not None and algo == base.algo else None
    if PLANNER in given:
        planner = convert(spell(PLANNER), str, given[PLANNER])
    return Identity(env, algo, size, recipe, planner)


def give_threads(given: Given, usual: RunConfig, spell: Spell) -> None:
    """Set JAX up for the seeds and workers given."""
    setup(
        *(
            max(1, convert(spell(name), int, given.get(name, getattr(usual, name))))
            for name in ("num_seeds", "workers")
        ),
        joins=True,
    )


def changed_options(config: RunConfig) -> dict[str, Any]:
    """The options of a configuration that differ from its size's and recipe's on its environment.

    Raises UsageError where there is no such environment.
    """
    from mag import envs  # loads JAX, which a mistaken folder need not wait for

    identity = (config.algo, config.env, config.size, config.recipe)
    usual = values(default_config(*identity, planner=planner_of(config), spec=envs.spec(config.env)))
    usual["planner.kind"] = values(default_config(*identity)).get("planner.kind")
    return {name: value for name, value in values(config).items() if value != usual[name]}


def read(given: Given, default: RunConfig, spell: Spell) -> dict[str, Any]:
    """The given values, converted to their options' types, leaving out env, algo, size, recipe and planner.kind."""
    known = {option.name: option for option in options(default)}
    for name, value in given.items():
        if name not in known:
            raise UsageError(why_unknown(name, value, default, spell))
    given = {name: value for name, value in given.items() if name not in (*Identity._fields, PLANNER)}
    return {name: convert(spell(name), known[name].type, value) for name, value in given.items()}


def usable(kept: Given, default: RunConfig, chosen: Given) -> Given:
    """Of the options that a run takes from another run's those that its own method has, and that have an effect."""
    from mag import envs

    known = values(default)
    kept = {name: value for name, value in kept.items() if name in known}
    config = override(default, {**kept, **chosen})
    idle = [option.name for option in options(config) if option.idle]
    unused = tuple(find(config.algo).unused(config))
    if not envs.is_host(config.env):
        unused += ("host.",)
    return {name: value for name, value in kept.items() if name not in idle and not name.startswith(unused)}


def why_unknown(name: str, value: Any, default: RunConfig, spell: Spell) -> str:
    """The error message for an option that this method and planner do not have."""
    for beginning, why in find(default.algo).unused(default).items():
        if name.startswith(beginning):
            return f"{default.algo} {why} and takes no option {spell(name)}; leave it out"
    for kind in KINDS:
        if name in {f"planner.{option.name}" for option in options(planner_config(kind))}:
            return (
                f"{spell(name)} belongs to {spell(PLANNER)} {kind}, and the kind is {planner_of(default)}; "
                f"give {spell(PLANNER)} {kind} or leave it out"
            )
    if others := [algo for algo in ALGORITHMS if name in values(find(algo).config())]:
        return f"{default.algo} has no option {spell(name)}, only {' and '.join(others)}; leave it out"
    return f"{unknown(name, value, values(default), spell)}; `mag train --help-all` lists all"
