"""Learning curves read from run folders: one record for each seed of a run."""

import functools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from mag import envs
from mag.algorithms.registry import default_config
from mag.errors import UsageError
from mag.experiments.cells import Options, distinguishes
from mag.experiments.study_file import AXES
from mag.options import flatten, to_json
from mag.runs.config_file import read_config
from mag.runs.folder import RunFolder
from mag.runs.logger import Row, read_rows

CURVE = ("eval/win_rate", "eval/return", "eval/episode_length", "train/win_rate", "train/return", "time/elapsed")
"""Metrics of a curve, with their values at each test."""
DIGITS = 6
"""Significant digits of the values in a curve."""
Curve = dict[str, list[int | float | None]]
"""Lists of equal length for `env_steps` and the metrics; None for a missing value."""


class Record(NamedTuple):
    """The learning curve of one seed, and the run that it belongs to."""

    env: str
    algo: str
    axes: dict[str, str]
    """The run's `size` and `recipe` (`AXES`)."""
    options: Options
    """Options that distinguish the run from others of its method."""
    seed: int
    steps: int
    """Environment steps that the run was meant to train for."""
    curve: Curve
    about: dict[str, Any]
    """`config`, `surroundings` and `wall_seconds`, where they are known."""
    origin: str
    """The run folder or file that the record was read from."""
    variant: str = ""
    """The study's name for these options (see `Cell.variant`)."""

    @property
    def env_steps(self) -> int:
        """Environment steps of the last test."""
        return int(self.curve["env_steps"][-1] or 0)

    @property
    def commit(self) -> str:
        """The commit of the program that trained the run, as `short_commit`; empty where it is not known."""
        return short_commit((self.about.get("surroundings") or {}).get("revision"))


def short_commit(revision: str | None) -> str:
    """A run's revision with seven digits of each commit, as `6c7b122+changes`; empty where it is not known."""
    return re.sub(r"\b([0-9a-f]{7})[0-9a-f]{33}\b", r"\1", revision or "")


class Loaded(NamedTuple):
    """Records, and a sentence about each thing that could not be read."""

    records: list[Record]
    problems: list[str]


def load_records(paths: Iterable[Path]) -> Loaded:
    """The curves of run folders; a path is a run folder, or a folder that directly contains run folders.

    Damaged runs are left out and named in `problems`. Raises UsageError for a path without runs.
    """
    records: list[Record] = []
    problems: list[str] = []
    # A folder that is named twice, or once by itself and once by the folder that contains it, counts once.
    folders = {folder.resolve(): folder for each in paths for folder in run_folders(each)}
    for path in folders.values():
        try:
            found, complaint = read_run(path)
            records += found
            problems += [complaint] if complaint else []
        except UsageError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{path} cannot be read ({error.strerror})")
    return Loaded(records, problems)


def run_folders(path: Path) -> list[Path]:
    """The folder itself if it holds a run, whole or damaged, else the run folders in it.

    Raises UsageError where there are none.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder; name run folders, folders of run folders, or a study file")
    if holds_run(path):
        return [path]
    found = sorted(each for each in path.iterdir() if each.is_dir() and holds_run(each))
    if not found:
        raise UsageError(f"{path} holds no run; name run folders, folders of run folders, or a study file")
    return found


def holds_run(path: Path) -> bool:
    """Whether a folder holds any file of a run."""
    folder = RunFolder(path)
    return any(each.exists() for each in (folder.config, folder.metrics, folder.checkpoints, folder.summary))


def read_run(path: Path) -> tuple[list[Record], str | None]:
    """A record for each seed of the run in a folder, and a complaint about damaged lines (None if all are whole).

    Raises UsageError where the configuration is damaged, or the metrics are missing or hold no test.
    """
    folder = RunFolder(path)
    values = read_config(folder)
    config = values["config"]
    if not folder.metrics.is_file():
        raise UsageError(f"{path} has no {folder.metrics.name}: it is not trained yet, or was damaged")
    rows, damaged = read_rows(folder)
    tested = [row for row in rows if "eval/return" in row]
    lines = f"{folder.metrics}: line {damaged[0]} is damaged" if damaged else ""
    more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
    if not tested:
        raise UsageError(f"{lines}{more}: nothing can be read" if lines else f"{path} has no test yet")
    surroundings = {name: values[name] for name in ("versions", "hardware", "revision") if name in values}
    about = {"config": config, "surroundings": surroundings, "wall_seconds": tested[-1].get("time/elapsed")}
    records = [
        Record(
            env=config["env"],
            algo=config["algo"],
            axes={axis: config.get(axis, "unknown") for axis in AXES},
            options=options_of(config),
            seed=seed,
            steps=config["steps"],
            curve=curve_of([row for row in tested if row["seed"] == seed]),
            about=about,
            origin=str(path),
        )
        for seed in sorted({row["seed"] for row in tested})
    ]
    return records, f"{lines}{more} and left out" if lines else None


def curve_of(rows: list[Row]) -> Curve:
    """The curve in the rows of one seed's tests."""
    names = [name for name in CURVE if any(name in row for row in rows)]
    return {"env_steps": [row["env_steps"] for row in rows]} | {
        name: [rounded(row.get(name)) for row in rows] for name in names
    }


def rounded(value: Any) -> float | None:
    """A number to six significant digits; None for anything else."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, int | float) else None


def options_of(config: dict[str, Any]) -> Options:
    """The options in which a run differs from the defaults of its method, environment, size and recipe."""
    given = told_apart(flatten(config))
    planner = given.get("planner.kind")
    about = (config["algo"], config["env"], *(config[axis] for axis in AXES))
    usual = dict(usual_options(*about, planner=planner))
    if "planner.kind" in usual:  # that another planner was chosen distinguishes, too
        usual["planner.kind"] = usual_options(*about, planner=None)["planner.kind"]
    return {name: given[name] for name in sorted(given) if name in usual and given[name] != usual[name]}


def told_apart(flat: Options) -> Options:
    """The options of a flat configuration that make an experiment another one."""
    return {name: value for name, value in flat.items() if distinguishes(name) and name not in ("env", "algo", *AXES)}


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The options that distinguish two runs' configurations, each as `name, value and other value`.

    An option that one of them lacks was added after that run and counts as published, with which nothing changed.
    """
    flat, against = (published_options(each) | told_apart(flatten(each)) for each in (one, other))
    pairs = {name: [each.get(name) for each in (flat, against)] for name in flat | against}
    return [f"{name} {a} and {b}" for name, (a, b) in pairs.items() if a != b and None not in (a, b)]


def mixed(records: Iterable[Record]) -> list[str]:
    """A sentence about each curve whose seeds were trained with different options, as after a change of a recipe."""
    curves: dict[str, list[Record]] = {}
    for record in records:
        if record.about.get("config"):
            curves.setdefault(repr((record.env, record.algo, record.axes, record.options)), []).append(record)
    sentences = []
    for first, *others in curves.values():
        for other in others:
            if found := differences(first.about["config"], other.about["config"]):
                seeds = f"seeds {first.seed} and {other.seed} were trained with different options"
                sentences.append(f"{first.algo} on {first.env}: {seeds} ({', '.join(found)})")
                break
    return sentences


def commits(records: Iterable[Record]) -> list[str]:
    """A sentence on the environments whose runs are of several commits of the program, if there are any."""
    found: dict[str, set[str]] = {}
    for record in records:
        if record.commit:
            found.setdefault(record.env, set()).add(record.commit)
    several = [f"{env} {', '.join(sorted(each))}" for env, each in found.items() if len(each) > 1]
    return [f"runs of several commits of the program are compared: {'; '.join(several)}"] if several else []


def published_options(config: dict[str, Any]) -> Options:
    """The options as published of a run's method and planner, flat; empty where they are unknown here."""
    return _published(config.get("algo", ""), config.get("env", ""), config.get("planner", {}).get("kind"))


@functools.cache
def _published(algo: str, env: str, planner: str | None) -> Options:
    try:
        return told_apart(flatten(to_json(default_config(algo, env, "paper", "paper", planner=planner))))
    except UsageError:
        return {}


@functools.cache
def usual_options(algo: str, env: str, *axes: str, planner: str | None) -> Options:
    """The default configuration, flat; empty where the method or environment is unknown here."""
    try:
        default = default_config(algo, env, *axes, planner=planner, spec=envs.spec(env))
    except UsageError:
        return {}
    return told_apart(flatten(to_json(default)))
