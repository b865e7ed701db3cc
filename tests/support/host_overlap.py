"""Seconds of an iteration of MAG on a slow host environment, with and without playing ahead.

    python -m tests.support.host_overlap > results/host-overlap-cpu.json

A step of the environment (`tests.support.host_envs/slow`) takes 50 ms in which its process only sleeps.
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
from tests.support.host_envs import SLOW

STEPS = 24
"""Items of an iteration, 5 of 7 of them a step of the environment."""
ITERATIONS = 30
BATCHES = 20
"""Updates of the models in an iteration."""


def seconds(*, overlap: bool, batches: int) -> list[float]:
    """Of each iteration that learns and compiles nothing."""
    config: Any = default_config("mag", "tests.support.host_envs/slow", "debug", "tuned")
    config = dataclasses.replace(
        config,
        steps=ITERATIONS * STEPS * 5 // 7,
        host=dataclasses.replace(config.host, overlap=overlap),
        collect=dataclasses.replace(config.collect, num_envs=1, steps=STEPS),
        models=dataclasses.replace(config.models, batches=batches),
        evaluation=EvaluationConfig(every=10**6, episodes=1),
        checkpoint=CheckpointConfig(every=1e9),
    )
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(sys.stderr):
            train(config, Path(folder) / "run")
        rows, _ = read_rows(RunFolder(Path(folder) / "run"))
    times = [row["time/iteration"] for row in rows if "models/loss" in row]
    return times[len(times) // 2 :]


def main() -> None:
    """Measure both and print one JSON object."""
    setup()
    rows = []
    for overlap in (False, True):
        found = seconds(overlap=overlap, batches=BATCHES)
        rows.append(
            {"overlap": overlap, "seconds_per_iteration": round(float(np.median(found)), 3), "iterations": len(found)}
        )
    about = {
        "cores": own_cores(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "load": os.getloadavg()[0],
    }
    playing = round(SLOW * STEPS * 5 / 7, 3)
    print(json.dumps({"about": about, "playing_sleeps": playing, "measured": rows}, indent=1))


if __name__ == "__main__":
    main()
