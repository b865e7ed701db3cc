"""Seconds of an iteration on a slow host environment, with and without playing ahead.

    python -m tests.support.host_overlap > results/host-overlap-cpu.json

A step of the environment (`tests.support.host_envs/slow`) takes 50 ms in which its process only sleeps. Two methods
learn from it: one that sleeps, too (`tests.support.fake`), as if an accelerator learned, and MAG of size `debug`, which
wants the cores that play.
"""

import contextlib
import dataclasses
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mag.algorithms.config import CheckpointConfig, EvaluationConfig
from mag.algorithms.registry import default_config
from mag.runs.folder import RunFolder
from mag.runs.logger import read_rows
from mag.runs.train import train
from mag.runtime import own_cores, setup
from tests.support.fake import NAME
from tests.support.host_envs import SLOW

STEPS = 24
"""Items of an iteration, 5 of 7 of them a step of the environment."""
ITERATIONS = {NAME: 12, "mag": 30}
BATCHES = 20
"""Updates of MAG's models in an iteration."""
PAUSE = 0.8
"""Seconds that the method that sleeps learns."""


def seconds(algo: str, *, overlap: bool) -> list[float]:
    """Of each iteration that learns and compiles nothing."""
    config: Any = default_config(algo, "tests.support.host_envs/slow", "debug", "tuned")
    config = dataclasses.replace(
        config,
        steps=ITERATIONS[algo] * STEPS * 5 // 7,
        num_seeds=1,
        host=dataclasses.replace(config.host, overlap=overlap),
        collect=dataclasses.replace(config.collect, num_envs=1, steps=STEPS),
        evaluation=EvaluationConfig(every=10**6, episodes=1),
        checkpoint=CheckpointConfig(every=1e9),
    )
    if algo == NAME:
        config = dataclasses.replace(config, pause=PAUSE)
    else:
        config = dataclasses.replace(config, models=dataclasses.replace(config.models, batches=BATCHES))
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(sys.stderr):
            train(config, Path(folder) / "run")
        rows, _ = read_rows(RunFolder(Path(folder) / "run"))
    times = [row["time/iteration"] for row in rows if "models/loss" in row]
    return times[len(times) // 2 :]


def main() -> None:
    """Measure all and print one JSON object."""
    setup()
    rows = []
    for algo in ITERATIONS:
        for overlap in (False, True):
            found = seconds(algo, overlap=overlap)
            row = {"algo": algo, "overlap": overlap, "seconds_per_iteration": round(float(np.median(found)), 3)}
            rows.append(row | {"iterations": len(found), "load": os.getloadavg()[0]})
    about = {"cores": own_cores(), "python": platform.python_version(), "jax": jax.__version__}
    asleep = round(SLOW * STEPS * 5 / 7, 3)
    print(json.dumps({"about": about, "seconds_asleep_playing": asleep, "measured": rows}, indent=1))


if __name__ == "__main__":
    main()
