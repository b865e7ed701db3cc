"""The runs of a study: combinations of options, and the configuration of each run."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mag import envs
from mag.algorithms import registry
from mag.algorithms.config import RunConfig, validate
from mag.errors import UsageError
from mag.experiments.study_file import AXES, StudyFile, table
from mag.options import did_you_mean, flatten, override
from mag.options import values as options_of

Options = dict[str, Any]
"""Options by their dotted names, such as `planner.horizon`."""
MOST_CELLS = 100_000
PLANNER = "planner.kind"
"""The option on which the planner's other options depend."""
OWN_KEYS = {"env": "envs", "algo": "methods", "seed": "seeds", "num_seeds": "seeds"}
"""Options that the study sets by a key of another name."""
INCIDENTAL = ("steps", "seed", "num_seeds", "workers", "logger", "checkpoint", "evaluation", "host")
"""Fields and groups of a configuration that do not make another experiment (see `distinguishes`)."""


def as_word(value: Any) -> str:
    """An option's value as the command line takes it."""
    return repr(value) if isinstance(value, float) else str(value)


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


def distinguishes(name: str) -> bool:
    """Whether runs that differ in an option are different experiments; of `host.*` only `overlap` changes learning."""
    return name == "host.overlap" or name.split(".")[0] not in INCIDENTAL


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
        if field == PLANNER and not registry.plans(method):
            return False
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


def given_options(file: StudyFile, env: str, method: str, point: Point) -> list[Given]:
    """The options of a run; where several tables set one, the last one counts."""
    places = ("options", f"env_options.{env}", f"method_options.{method}")
    tables = {place: table(file.values, place) for place in places}
    tables |= {f"variants.{point.variant}": point.options, "grid": point.grid}
    given = [Given(f"{at}.{name}", name, value) for at, options in tables.items() for name, value in options.items()]
    # The planner decides which options there are, so that only the one that counts can be set.
    planners = [each for each in given if each.name.endswith(PLANNER)]
    dropped = planners[:-1]
    if not registry.plans(method):  # grid and variants are for methods that have their options
        dropped = [each for each in planners if each.place.startswith(("grid.", "variants."))]
    return [each for each in given if each not in dropped]


def default_of(file: StudyFile, env: str, method: str, given: list[Given]) -> RunConfig:
    """A method's default configuration on an environment, with the planner that the options name.

    Raises UsageError with the line of a planner that cannot be had.
    """
    axes = [file.values[axis] for axis in AXES]
    planner = next((each for each in given if each.name.endswith(PLANNER)), Given("methods", "", None))
    if planner.name and not isinstance(planner.value, str):
        raise file.error(planner.place, f"{planner.value!r} must be text")
    try:
        registry.check_plans(method, planner.value)
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
        if name in ("run", "config"):
            raise file.error(place, "a study names the folders and options of its runs itself; leave it out here")
        if field in (*OWN_KEYS, "steps", *AXES):
            key = OWN_KEYS.get(field, field)
            raise file.error(place, f"the study's own `{key}` sets it; leave it out here")
        if not field:
            raise file.error(
                place, f"{method} has no option of this name{where_to_put(file, env, point, name, config)}"
            )
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


def where_to_put(file: StudyFile, env: str, point: Point, name: str, config: RunConfig) -> str:
    """What to do with an option that `config` lacks: where it belongs, if another method of the study has it."""
    for other in file.values["methods"]:
        default = default_of(file, env, other, given_options(file, env, other, point))
        if field_of(default, name):
            return f"; {other} has: put it under [method_options.{other}]"
    return f"{did_you_mean(name, options_of(config))}; `mag train --help-all` lists all"


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
