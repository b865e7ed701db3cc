"""Curves that are kept in the repository: `results/<study>/curves.json`.

```
{"schema": 1,
 "configs": [{...}],             the runs' whole configurations
 "surroundings": [{...}],        versions, hardware and revision that the runs used
 "runs": [{"env": ..., "algo": ..., "size": ..., "recipe": ..., "options": {...}, "seed": 0, "steps": 100000,
           "config": 0, "surroundings": 0, "wall_seconds": 470, "curve": {"env_steps": [...], "eval/win_rate": [...]}}]}
```
"""

import json
from pathlib import Path
from typing import Any

from mag.errors import UsageError
from mag.experiments.cells import Cell, Options, as_word, distinguishes
from mag.experiments.records import Loaded, Record, differences, holds_run, load_records, told_apart
from mag.experiments.study import Study
from mag.experiments.study_file import AXES
from mag.options import to_json
from mag.runs.folder import write_text

SCHEMA = 1
CURVES = "curves.json"


def kept_records(folder: Path) -> list[Record]:
    """The records kept in a folder, empty without a file. Raises UsageError for an invalid file."""
    path = folder / CURVES
    if not path.exists():
        return []
    try:
        values = json.loads(path.read_text())
        if values["schema"] != SCHEMA:
            raise ValueError(f"schema {values['schema']}")
        return [as_record(run, values, str(path)) for run in values["runs"]]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} does not hold kept curves ({error!r}); restore it, or delete it") from error


def as_record(run: dict[str, Any], values: dict[str, Any], origin: str) -> Record:
    """The record in one entry of `runs`. Raises ValueError where columns of the curve differ in length."""
    about = {
        "config": values["configs"][run["config"]],
        "surroundings": values["surroundings"][run["surroundings"]],
        "wall_seconds": run["wall_seconds"],
    }
    curve = {str(name): list(column) for name, column in run["curve"].items()}
    if not curve["env_steps"] or any(len(column) != len(curve["env_steps"]) for column in curve.values()):
        raise ValueError("a curve whose columns differ in length")
    axes = {axis: run[axis] for axis in AXES}
    return Record(run["env"], run["algo"], axes, run["options"], run["seed"], run["steps"], curve, about, origin)


def write_records(folder: Path, records: list[Record]) -> Path:
    """Write `curves.json`, one run per line."""
    configs: list[Any] = []
    surroundings: list[Any] = []
    runs = []
    for record in records:
        runs.append(
            {"env": record.env, "algo": record.algo, **record.axes, "options": record.options}
            | {"seed": record.seed, "steps": record.steps}
            | {"config": place(configs, shared(record.about.get("config")))}
            | {"surroundings": place(surroundings, record.about.get("surroundings"))}
            | {"wall_seconds": record.about.get("wall_seconds"), "curve": record.curve}
        )
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"configs": configs, "surroundings": surroundings, "runs": runs}
    lists = [listed(name, items) for name, items in parts.items()]
    return write_text(folder / CURVES, f'{{"schema": {SCHEMA},\n' + ",\n".join(lists) + "}\n")


def listed(name: str, items: list[Any]) -> str:
    """A JSON list, one item per line."""
    return f' "{name}": [\n  ' + ",\n  ".join(json.dumps(item, allow_nan=False) for item in items) + "\n ]"


def place(items: list[Any], item: Any) -> int:
    """The position of an item in a list, to which it is added where it is new."""
    if item not in items:
        items.append(item)
    return items.index(item)


def shared(config: dict[str, Any] | None) -> dict[str, Any] | None:
    """A configuration without the fields in which runs of the same curve differ."""
    return config and {name: value for name, value in config.items() if name not in ("seed", "num_seeds", "steps")}


def kept_cells(study: Study, results: Path) -> dict[str, Record]:
    """The finished curves of a study's cells that are kept under `results`, by cell name."""
    known = {record_identity(record): record for record in kept_records(results / study.name)}
    found = {cell.name: known.get(cell_identity(cell)) for cell in study.cells}
    steps = {cell.name: cell.config.steps for cell in study.cells}
    return {name: record for name, record in found.items() if record and record.env_steps >= steps[name]}


def outdated(study: Study, kept: dict[str, Record]) -> list[str]:
    """A sentence about each kept curve that was trained with other options than its cell has now, as after a change of
    a recipe."""
    found = {
        cell.name: differences(kept[cell.name].about["config"], to_json(cell.config))
        for cell in study.cells
        if cell.name in kept and kept[cell.name].about["config"]
    }
    return [f"{name}, kept and now: {', '.join(options)}" for name, options in found.items() if options]


def outdated_note(found: list[str]) -> str:
    """One sentence about the kept curves that `outdated` found."""
    curves = "1 kept curve was" if len(found) == 1 else f"{len(found)} kept curves were"
    return f"{curves} trained with other options than the study has now ({found[0]}{'; ...' if found[1:] else ''})"


def identity(env: str, algo: str, axes: dict[str, str], options: Options, seed: int) -> tuple[Any, ...]:
    """A key that two records share if they are the same experiment with the same seed."""
    fixed = sorted((name, as_word(value)) for name, value in options.items() if distinguishes(name))
    return (env, algo, tuple(sorted(axes.items())), tuple(fixed), seed)


def record_identity(record: Record) -> tuple[Any, ...]:
    """The `identity` of a record."""
    return identity(record.env, record.algo, record.axes, record.options, record.seed)


def united(older: list[Record], newer: list[Record]) -> list[Record]:
    """All records, of those of the same `identity` the newer one, unless the older one is a longer run of the same."""
    records = {record_identity(record): record for record in older}
    for record in newer:
        place = record_identity(record)
        if place not in records or not is_longer(records[place], record):
            records[place] = record
    return list(records.values())


def is_longer(record: Record, other: Record) -> bool:
    """Whether a run was to train for more steps than another, with the same options."""
    one, another = record.about.get("config"), other.about.get("config")
    if record.steps <= other.steps or one is None or another is None:
        return False
    return not differences(one, another)


def cell_identity(cell: Cell) -> tuple[Any, ...]:
    """The `identity` of a cell's record."""
    config = cell.config
    axes = {axis: getattr(config, axis) for axis in AXES}
    return identity(config.env, config.algo, axes, cell.options, config.seed)


def of_cell(record: Record, cell: Cell) -> Record:
    """A run folder's record, with the options, steps and variant that the study sets for its cell."""
    return record._replace(options=told_apart(cell.options), steps=cell.config.steps, variant=cell.variant)


def study_records(study: Study, runs: Path, results: Path) -> tuple[Loaded, list[str]]:
    """The finished curves of a study, from run folders or kept, and its runs that are missing or unfinished.

    A cell's finished run folder takes precedence over its kept curve.
    """
    kept = kept_cells(study, results)
    folders, problems = read_cells(study, runs)
    old = outdated(study, kept)
    problems += [outdated_note(old)] if old else []
    records, missing = [], []
    for cell in study.cells:
        record = folders.get(cell.name)
        if record is not None and record.env_steps >= cell.config.steps:
            records.append(of_cell(record, cell))
        elif cell.name in kept:
            records.append(kept[cell.name]._replace(steps=cell.config.steps, variant=cell.variant))
        else:
            done = f"{record.env_steps} of {cell.config.steps} env steps" if record else "no curve"
            missing.append(f"{cell.name} ({done})")
    return Loaded(records, problems), missing


def read_cells(study: Study, runs: Path) -> tuple[dict[str, Record], list[str]]:
    """The records in the run folders of a study, by cell name, and a sentence about each thing that cannot be read or
    was trained with other options.

    The folder's name up to `-seed` is its cells' key: `...-seed3`, or `...-seeds0-4` for several cells.
    """
    keys = {cell.key for cell in study.cells}
    configs = {cell.name: to_json(cell.config) for cell in study.cells}
    found: dict[str, Record] = {}
    problems: list[str] = []
    for folder in sorted(runs.iterdir()) if runs.is_dir() else []:
        key = folder.name.rpartition("-seed")[0]
        if key in keys and holds_run(folder):
            records, complaints = load_records([folder])
            problems += complaints
            for record in records:  # of two folders with the same seed the one that has come further counts
                name = f"{key}-seed{record.seed}"
                if name in configs and (other := differences(record.about["config"], configs[name])):
                    problems.append(
                        f"{folder}, seed {record.seed}: left out, trained with other options than the study has now "
                        f"({', '.join(other)})"
                    )
                elif name not in found or record.env_steps > found[name].env_steps:
                    found[name] = record
    return found, problems
