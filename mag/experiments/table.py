"""One tidy table of any set of curves: a row for each test of each seed."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mag.errors import UsageError
from mag.experiments.cells import Options, as_word
from mag.experiments.records import CURVE, Record
from mag.experiments.study_file import AXES

METRICS = ("eval/win_rate", "eval/return", "train/win_rate", "train/return")
"""Metrics that can be compared."""
METHOD_NAMES = {
    "mag": "MAG",
    "mamba": "MAMBA",
    "attention-ppo": "Attention-PPO",
    "commnet": "CommNet",
    "g2a": "G2A",
}
KEYS = ("panel", "curve", "env", "algo", *AXES, "options", "seed")
"""Columns that identify the run to which a row belongs."""


def to_table(records: list[Record], panels: str = "env", curves: tuple[str, ...] | None = None) -> pd.DataFrame:
    """The tidy table; `panels` and `curves` name what panels and curves differ in (None: whatever differs)."""
    varied = varied_fields(records) if curves is None else curves
    frames = []
    for record in records:
        values = values_of(record)
        # A curve is named after its method and whatever else differs between records.
        names = [name_part(field, values[field]) for field in varied if field in values]
        options = ", ".join(f"{name} {as_word(value)}" for name, value in record.options.items())
        frame = pd.DataFrame({name: record.curve.get(name) for name in ("env_steps", *CURVE)}, dtype=float)
        frame = frame.assign(env_steps=frame.env_steps.astype(int), run=record.origin, commit=record.commit)
        keys = (str(values.get(panels, "")), ", ".join(names), record.env, record.algo)
        columns = dict(zip(KEYS, (*keys, *record.axes.values(), options, record.seed), strict=True))
        frames.append(frame.assign(**columns))
    if not frames:
        raise UsageError("there is no curve to report; train first")
    return pd.concat(frames, ignore_index=True)[[*KEYS, "env_steps", *CURVE, "run", "commit"]]


def values_of(record: Record) -> Options:
    """The values of one record in which panels and curves can differ, by name."""
    named = {"variant": record.variant} if record.variant else {}
    return {"method": record.algo, "env": record.env, **named, **record.axes, **record.options}


def varied_fields(records: list[Record]) -> tuple[str, ...]:
    """The method, and what else differs between runs of one method on one environment."""
    names = {name for record in records for name in (*AXES, *record.options)}
    kinds: dict[tuple[str, str], list[Options]] = {}
    for record in records:
        kinds.setdefault((record.env, record.algo), []).append(values_of(record))
    varied = [
        name
        for name in sorted(names)
        if any(len({as_word(values.get(name)) for values in each}) > 1 for each in kinds.values())
    ]
    return ("method", *varied)


def name_part(field: str, value: Any) -> str:
    """One part of a curve's name: `MAG`, or `horizon 3`."""
    if field == "method":
        return METHOD_NAMES.get(value, str(value))
    if field in ("env", "variant", *AXES):
        return str(value)
    return f"{field.rpartition('.')[2].replace('_', ' ')} {as_word(value)}"


def read_other(name: str, path: Path, envs: list[str]) -> list[Record]:
    """The runs of another method, from a CSV with `env_steps`, `seed`, `win_rate` and, for several maps, `env`.

    Raises UsageError naming the column or line at fault.
    """
    try:
        frame = pd.read_csv(path)
    except ValueError as error:
        raise UsageError(f"{path} cannot be read as CSV ({error}); it needs env_steps, seed and win_rate") from error
    missing = [column for column in ("env_steps", "seed", "win_rate") if column not in frame]
    if missing:
        raise UsageError(f"{path} has no column {missing[0]}; it needs env_steps, seed and win_rate")
    if "env" not in frame:
        if len(envs) != 1:
            raise UsageError(f"{path} has no column env, which tells the {len(envs)} environments apart; add it")
        frame = frame.assign(env=envs[0])
    if strangers := sorted(set(frame.env.astype(str)) - set(envs)):
        raise UsageError(
            f"{path} has the environment {strangers[0]}, and the runs have {', '.join(envs)}; name one of these"
        )
    numbers = frame[["env_steps", "seed", "win_rate"]].apply(pd.to_numeric, errors="coerce")
    wrong = np.flatnonzero(numbers.isna().any(axis=1))
    if len(wrong):
        raise UsageError(f"{path}, line {wrong[0] + 2}: env_steps, seed and win_rate must be numbers")
    frame = frame.assign(**numbers).sort_values("env_steps")
    records = []
    for (env, seed), rows in frame.groupby(["env", "seed"]):
        steps = rows.env_steps.astype(int).tolist()
        curve: Any = {"env_steps": steps, "eval/win_rate": rows.win_rate.tolist()}
        axes = dict.fromkeys(AXES, "")
        records.append(Record(str(env), name, axes, {}, int(seed), steps[-1], curve, {}, str(path)))
    return records
