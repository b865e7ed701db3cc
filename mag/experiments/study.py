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

import dataclasses
import itertools
import shlex
from pathlib import Path

from mag.experiments.cells import Cell, all_points, distinguishes, field_of, make_cell, usable
from mag.experiments.study_file import StudyFile, check_items, check_keys, table
from mag.options import did_you_mean, flatten
from mag.options import values as options_of


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


def check_points(file: StudyFile, cells: list[Cell]) -> None:
    """Raise UsageError for an option of grid or variants that no method has, and for variants that are equal."""
    variants = [f"variants.{name}" for name in file.values.get("variants", {})]
    for place in ("grid", *variants):
        for name in table(file.values, place):
            if not any(field_of(cell.config, name) in cell.options for cell in cells):
                first = cells[0].config  # MAMBA has the option `planner.kind`, and takes no other value
                hint = "" if field_of(first, name) else did_you_mean(name, options_of(first))
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
