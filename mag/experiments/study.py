"""A study: environments, methods, seeds and choices of options in a TOML file, and the runs that they define.

```toml
title = "Planning horizon"
envs = ["smac_jax/2c_vs_64zg"]
methods = ["mag", "mamba"]
seeds = 5                             # 0 to 4, or a list
steps = 200_000                       # or a table: default = 100_000, "smac_jax/corridor" = 400_000
size = "small"
recipe = "tuned"

[options]                             # of every run
workers = 1
[method_options.mag]                  # of one method
models.batches = 16
[env_options."smac_jax/2s_vs_1sc"]    # of one environment
ppo.gamma = 0.995
[grid]                                # every combination, for the methods that have the option
planner.horizon = [1, 3, 7]
[variants.drawn]                      # named choices of options, also for the methods that have them
planner.choice = "proportional"
```
"""

import contextlib
import dataclasses
import itertools
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mag import envs
from mag.algorithms import registry
from mag.algorithms.config import RunConfig, validate
from mag.errors import UsageError
from mag.experiments.study_file import StudyFile
from mag.options import did_you_mean, flatten, override
from mag.options import values as options_of

AXES = {"size": registry.SIZES, "recipe": registry.RECIPES}
"""Presets that choose a run's defaults together with environment and method, and the values allowed."""
KEYS: dict[str, type | tuple[type, ...]] = {
    "title": str,
    "envs": list,
    "methods": list,
    "seeds": (int, list),
    "steps": (int, dict),
    "options": dict,
    "method_options": dict,
    "env_options": dict,
    "grid": dict,
    "variants": dict,
    "panels": str,
    "curves": list,
    **dict.fromkeys(AXES, str),
}
"""Keys of a study file, and the types allowed."""
REQUIRED = ("envs", "methods", "seeds", "steps", *AXES)
KINDS = {str: "text", int: "a whole number", list: "a list", dict: "a table", float: "a number", bool: "true or false"}
INCIDENTAL = ("steps", "seed", "num_seeds", "workers", "logger", "checkpoint", "evaluation", "host")
"""Fields and groups of a configuration that do not make another experiment (see `distinguishes`)."""
MOST_CELLS = 100_000
PLANNER = "planner.kind"
"""The option on which the planner's other options depend."""
Options = dict[str, Any]
"""Options by their dotted names, such as `planner.horizon`."""


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """One run of a study: one seed of one method with one choice of options on one environment."""

    config: RunConfig
    options: Options
    """All options that the study file sets for this run."""
    variant: str
    """The variant's name; empty where the study has none, or none for this method."""
    changed: Options
    """What the grid and the variant set to other values than the presets, by the configuration's names."""

    @property
    def key(self) -> str:
        """Environment, method, presets, and what grid and variant change: what the seeds of a curve have in common.

        Studies that share a point of their grids share its runs.
        """
        config = self.config
        axes = [getattr(config, axis) for axis in AXES]
        changed = [f"{name}={as_word(value)}" for name, value in self.changed.items()]
        return "-".join([config.env, config.algo, *axes, *changed]).replace("/", "_")

    @property
    def name(self) -> str:
        """The name of the run folder."""
        return f"{self.key}-seed{self.config.seed}"

    def command(self, run: Path, num_seeds: int = 1) -> list[str]:
        """The arguments of `mag` that train this run in the folder `run`, or `num_seeds` runs from this run's seed."""
        config = self.config
        words = ["train", "--env", config.env, "--algo", config.algo]
        for axis in AXES:
            words += [f"--{axis}", getattr(config, axis)]
        words += ["--seed", str(config.seed)] + (["--num-seeds", str(num_seeds)] if num_seeds > 1 else [])
        words += ["--steps", str(config.steps)]
        for name, value in self.options.items():
            words += [f"--{name.replace('_', '-')}", as_word(value)]
        return [*words, "--run", str(run)]


@dataclasses.dataclass(frozen=True)
class Study:
    """A study file read and checked."""

    path: Path
    title: str
    cells: tuple[Cell, ...]
    """The first seed of every curve, then the second seed of every curve, and so on."""
    panels: str
    """What the panels of the learning curves differ in: `env`, `method` or an option of the grid."""
    curves: tuple[str, ...]
    """What the curves of a panel differ in."""

    @property
    def name(self) -> str:
        """The file's name, or, for `results/<study>/study.toml`, its folder's."""
        return self.path.resolve().parent.name if self.path.stem == "study" else self.path.stem


def as_word(value: Any) -> str:
    """An option's value as the command line takes it."""
    return repr(value) if isinstance(value, float) else str(value)


def as_command(words: list[str]) -> str:
    """A command of `mag` as a line for the shell."""
    return shlex.join(["mag", *words])


def load_study(path: Path) -> Study:
    """The study in a file. Raises UsageError naming the line and field at fault."""
    file = StudyFile(path)
    check_keys(file)
    values = file.values
    seeds = range(values["seeds"]) if isinstance(values["seeds"], int) else values["seeds"]
    points = list(all_points(file))
    cells = []
    for seed, env, method in itertools.product(seeds, values["envs"], values["methods"]):
        used = {repr(point): point for point in (usable(file, env, method, each) for each in points)}
        cells += [make_cell(file, env, method, seed, point) for point in used.values()]
    check_points(file, cells)
    panels, curves = told_apart_by(file, cells)
    return Study(path, values.get("title", path.stem), tuple(cells), panels, curves)


def check_keys(file: StudyFile) -> None:
    """Raise UsageError for keys that are unknown, missing or of another type, and for empty or unknown items."""
    values = file.values
    for name in values:
        if name not in KEYS:
            raise file.error(name, f"unknown key{did_you_mean(name, KEYS)}; allowed are {', '.join(KEYS)}")
    for name in REQUIRED:
        if name not in values:
            choice = f" ({', '.join(AXES[name])})" if name in AXES else ""
            raise UsageError(f"{file.path}: {name} is missing{choice}; a study needs {', '.join(REQUIRED)}")
    for name, value in values.items():
        allowed_kinds = KEYS[name]
        kinds = allowed_kinds if isinstance(allowed_kinds, tuple) else (allowed_kinds,)
        if type(value) not in kinds:
            raise file.error(name, f"{value!r} must be {' or '.join(KINDS[kind] for kind in kinds)}")
    for axis, allowed in AXES.items():
        check_items(file, axis, [values[axis]], allowed)
    for field, look_up in (("methods", registry.find), ("envs", envs.spec)):
        check_items(file, field, values[field])
        for name in values[field]:
            try:
                look_up(name)
            except UsageError as error:
                raise file.error(field, str(error), name) from error
    check_counts(file)
    for place, allowed in (("method_options", values["methods"]), ("env_options", values["envs"])):
        for name, options in values.get(place, {}).items():
            if name not in allowed:
                raise file.error(
                    f"{place}.{name}",
                    f"not in the study{did_you_mean(name, allowed)}; allowed are {', '.join(allowed)}",
                )
            check_table(file, f"{place}.{name}", options)
    for name, options in values.get("variants", {}).items():
        check_table(file, f"variants.{name}", options)


def check_table(file: StudyFile, field: str, value: Any) -> None:
    """Raise UsageError where a value is no table of options."""
    if not isinstance(value, dict):
        raise file.error(field, f"{value!r} must be a table of options")


def check_items(file: StudyFile, field: str, items: list[Any], allowed: Iterable[str] | None = None) -> None:
    """Raise UsageError where a list of texts is empty, repeats an item or holds one that is not allowed."""
    known = None if allowed is None else list(allowed)
    if not items and field in REQUIRED:
        raise file.error(field, "the list is empty; give at least one")
    for item in items:
        if not isinstance(item, str):
            raise file.error(field, f"{item!r} must be text", item)
        if known is not None and item not in known:
            raise file.error(
                field, f"{item!r} is unknown{did_you_mean(item, known)}; allowed are {', '.join(known)}", item
            )
        if items.count(item) > 1:
            raise file.error(field, f"{item!r} is listed twice; leave one out", item)


def check_counts(file: StudyFile) -> None:
    """Raise UsageError for seeds or steps that are no whole numbers or out of bounds, and for repeated seeds."""
    seeds, steps = file.values["seeds"], file.values["steps"]
    numbers = [seeds] if isinstance(seeds, int) else seeds
    least = 1 if isinstance(seeds, int) else 0
    for seed in numbers:
        if type(seed) is not int or seed < least:
            raise file.error("seeds", f"{seed!r} must be a whole number, at least {least}", seed)
        if numbers.count(seed) > 1:
            raise file.error("seeds", f"{seed} is listed twice; leave one out", seed)
    if not numbers:
        raise file.error("seeds", "the list is empty; give at least one")
    for name, value in steps.items() if isinstance(steps, dict) else [("", steps)]:
        field = f"steps.{name}" if name else "steps"
        if name and name not in ("default", *file.values["envs"]):
            known = ["default", *file.values["envs"]]
            raise file.error(field, f"no such environment{did_you_mean(name, known)}; allowed are {', '.join(known)}")
        if type(value) is not int or value < 1:
            raise file.error(field, f"{value!r} must be a whole number, at least 1")


class Given(NamedTuple):
    """An option that a study's file sets for a run."""

    place: str
    """Where the file sets it: `TABLE.NAME`."""
    name: str
    value: Any


@dataclasses.dataclass(frozen=True)
class Point:
    """One combination of the grid's values, with one variant."""

    grid: Options
    variant: str = ""
    """The variant's name; empty without one."""
    options: Options = dataclasses.field(default_factory=dict)
    """The variant's options."""


def all_points(file: StudyFile) -> Iterator[Point]:
    """Every combination of the grid's values and the variants."""
    grid = flatten(file.values.get("grid", {}))
    variants = {name: flatten(options) for name, options in file.values.get("variants", {}).items()} or {"": {}}
    count = len(variants)
    for name, choices in grid.items():
        if not isinstance(choices, list) or not choices:
            raise file.error(f"grid.{name}", f"{choices!r} must be a list of values, such as [1, 3, 7]")
        if len({repr(choice) for choice in choices}) < len(choices):
            raise file.error(f"grid.{name}", "a value is listed twice; leave one out")
        count *= len(choices)
    if count > MOST_CELLS:
        raise file.error("grid", f"{count} combinations are more than {MOST_CELLS}; shorten the lists")
    for variant, options in variants.items():
        for values in itertools.product(*grid.values()):
            yield Point(dict(zip(grid, values, strict=True)), variant, options)


def usable(file: StudyFile, env: str, method: str, point: Point) -> Point:
    """The options of a point that a method has; MAMBA, for example, has no planner options.

    A method that has no option of any variant has no variants.
    """
    given = given_options(file, env, method, point)
    default = default_of(file, env, method, given)

    def has(name: str, values: list[Any]) -> bool:
        field = field_of(default, name)
        without = with_options(default, [each for each in given if field_of(default, each.name) != field])
        return bool(field) and all(takes(without, field, value) for value in values)

    choices = flatten(file.values.get("grid", {}))
    grid = {name: value for name, value in point.grid.items() if has(name, choices[name])}
    variants = [flatten(options) for options in file.values.get("variants", {}).values()]
    if not any(has(name, [value]) for options in variants for name, value in options.items()):
        return Point(grid)
    return Point(grid, point.variant, {name: value for name, value in point.options.items() if has(name, [value])})


def with_options(config: RunConfig, given: list[Given]) -> RunConfig:
    """A configuration with those options that it has and that can be set."""
    for each in given:
        if field := field_of(config, each.name):
            with contextlib.suppress(UsageError):  # `make_cell` reports its line
                config = override(config, {field: each.value})
    return config


def takes(default: RunConfig, field: str, value: Any) -> bool:
    """Whether a method uses an option."""
    try:
        changed = override(default, {field: value})
    except UsageError:
        return True  # a value of the wrong type: `make_cell` reports its line
    try:
        registry.check_used(changed, default)
    except UsageError:
        return False
    return True


def check_points(file: StudyFile, cells: list[Cell]) -> None:
    """Raise UsageError for an option of grid or variants that no method has, and for variants that are equal."""
    variants = [f"variants.{name}" for name in file.values.get("variants", {})]
    for place in ("grid", *variants):
        for name in table(file.values, place):
            if not any(field_of(cell.config, name) in cell.options for cell in cells):
                known = options_of(cells[0].config)
                hint = did_you_mean(name, known)
                raise file.error(f"{place}.{name}", f"no method of the study has this option{hint}")
            if not distinguishes(name.replace("-", "_")):
                why = "runs that differ in it count as one experiment; set it under [options]"
                raise file.error(f"{place}.{name}", why)
    cell_of: dict[str, Cell] = {}
    for cell in cells:
        if (other := cell_of.setdefault(cell.name, cell)) is not cell:
            raise file.error(
                f"variants.{cell.variant}", f"makes the same runs as variants.{other.variant}; leave one out"
            )


def told_apart_by(file: StudyFile, cells: list[Cell]) -> tuple[str, tuple[str, ...]]:
    """The option that differs between panels, and the options that differ between the curves of a panel, by the
    configuration's names.

    Raises UsageError for a name that is unknown, and for one that curves leave out although runs differ in it: they
    would count as seeds of one curve, in tables those of all panels. Environments may be left out, for scores are
    compared on each by itself.
    """
    values = file.values
    grid = flatten(values.get("grid", {}))
    variants = {"variant": values["variants"]} if "variants" in values else {}
    choices = {"env": values["envs"], "method": values["methods"], **variants, **grid}
    panels = values.get("panels", "env")
    curves = values.get("curves", [name for name in choices if name != "env" or panels != "env"])
    for field, given in (("panels", [panels]), ("curves", curves)):
        check_items(file, field, given, choices)
    for name, different in choices.items():
        if len(different) > 1 and name not in ("env", *curves):
            raise file.error(
                "curves",
                f"{name} is missing, so that runs which differ in it would count as seeds of one curve; name it",
            )
    fields = {name: next((field for cell in cells if (field := field_of(cell.config, name))), name) for name in grid}
    return fields.get(panels, panels), tuple(fields.get(name, name) for name in curves)


def distinguishes(name: str) -> bool:
    """Whether runs that differ in an option are different experiments; of `host.*` only `overlap` changes learning."""
    return name == "host.overlap" or name.split(".")[0] not in INCIDENTAL


def given_options(file: StudyFile, env: str, method: str, point: Point) -> list[Given]:
    """The options of a run; where several tables set one, the last one counts."""
    places = ("options", f"env_options.{env}", f"method_options.{method}")
    tables = {place: table(file.values, place) for place in places}
    tables |= {f"variants.{point.variant}": point.options, "grid": point.grid}
    given = [Given(f"{at}.{name}", name, value) for at, options in tables.items() for name, value in options.items()]
    # The planner decides which options there are, so that only the one that counts can be set.
    planners = [each for each in given if each.name.endswith(PLANNER)]
    return [each for each in given if each not in planners[:-1]]


def default_of(file: StudyFile, env: str, method: str, given: list[Given]) -> RunConfig:
    """A method's default configuration on an environment, with the planner that the options name.

    Raises UsageError with the line of a planner that cannot be had.
    """
    axes = [file.values[axis] for axis in AXES]
    planner = next((each for each in given if each.name.endswith(PLANNER)), Given("methods", "", None))
    if planner.name and not isinstance(planner.value, str):
        raise file.error(planner.place, f"{planner.value!r} must be text")
    try:
        return registry.default_config(method, env, *axes, planner=planner.value, spec=envs.spec(env))
    except UsageError as error:
        raise file.error(planner.place, str(error)) from error


def make_cell(file: StudyFile, env: str, method: str, seed: int, point: Point) -> Cell:
    """One run. Raises UsageError with the line of an option that cannot be set."""
    given = given_options(file, env, method, point)
    config = default = default_of(file, env, method, given)
    options = {}
    for place, name, value in given:
        field = field_of(config, name)
        if field in ("env", "algo", "steps", "seed", "num_seeds", *AXES):
            raise file.error(place, f"{field} is not an option; the study's own keys set it")
        if not field:
            hint = did_you_mean(name, options_of(config))
            raise file.error(place, f"{method} has no option of this name{hint}; `mag train --help` lists all")
        try:
            config = override(config, {field: value})
        except UsageError as error:
            raise file.error(place, str(error).removeprefix(f"{field}: ")) from error
        options[field] = value
    config = dataclasses.replace(config, seed=seed, steps=steps_of(file, env))
    try:
        validate(config)
        registry.check_used(config, default)
        config.check_for(envs.spec(env))
    except UsageError as error:
        fault = next((each.place for each in given if is_named(each.place, str(error))), "methods")
        raise file.error(fault, f"{error} ({method} on {env})", method if fault == "methods" else None) from error
    usual = options_of(default_of(file, env, method, []))
    fields = [field_of(config, name) for name in (*point.options, *point.grid)]
    changed = {field: options[field] for field in fields if field not in usual or options[field] != usual[field]}
    return Cell(config, options, point.variant, changed)


def table(values: dict[str, Any], place: str) -> Options:
    """The options in a table of the file, by dotted names; empty where the file has no such table."""
    head, _, rest = place.partition(".")
    found = values.get(head, {})
    return flatten(found.get(rest, {}) if rest else found)


def is_named(place: str, message: str) -> bool:
    """Whether an error message names the option at a place such as `grid.planner.horizon`."""
    words = (word.strip("_,;:") for word in message.replace("-", "_").split())
    return any(place.replace("-", "_").endswith(f".{word}") for word in words if word)


def steps_of(file: StudyFile, env: str) -> int:
    """Environment steps of the runs on an environment."""
    steps = file.values["steps"]
    if isinstance(steps, int):
        return steps
    if env not in steps and "default" not in steps:
        raise file.error("steps", f"there is no entry for {env}; add it, or a default")
    return int(steps.get(env, steps.get("default")))


def field_of(config: RunConfig, name: str) -> str:
    """The configuration's field for an option's name, spelled with `-` or `_`; empty where there is none."""
    field = name.replace("-", "_")
    return field if field in options_of(config) else ""
