"""A study of real runs that is killed in the middle and started again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mag.experiments.report import of_study
from mag.experiments.study import load_study
from mag.experiments.table import to_table

pytestmark = pytest.mark.slow

STUDY = """envs = ["probe/memory"]
methods = ["mag", "commnet"]
seeds = 2
steps = 200
size = "debug"
recipe = "tuned"

[options]
workers = 1
evaluation.every = 50
checkpoint.every = 0.0
"""
TIMES = ["run", "time/elapsed"]
"""Columns in which runs differ that learned the same."""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "killed.toml"
    path.write_text(STUDY)
    return load_study(path)


def start(study, runs):
    """`mag sweep` as a process group of its own."""
    words = [
        sys.executable,
        "-m",
        "mag",
        "sweep",
        str(study.path),
        "--runs",
        str(runs),
        "--results",
        str(runs / "none"),
    ]
    return subprocess.Popen(words, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(study, runs):
    sweep = start(study, runs)
    output, _ = sweep.communicate(timeout=1200)
    assert sweep.returncode == 0, output
    return output.decode()


def kill_in_the_middle(study, runs, name):
    """Kill a sweep and what it trains (`kill -9`) when the run of that name has saved."""
    sweep, end = start(study, runs), time.monotonic() + 600
    while not any((runs / name).glob("checkpoints/*/manifest.json")):
        assert time.monotonic() < end and sweep.poll() is None
        time.sleep(0.02)
    (training,) = Path(f"/proc/{sweep.pid}/task/{sweep.pid}/children").read_text().split()
    sweep.kill()
    os.kill(int(training), signal.SIGKILL)
    sweep.communicate()
    assert not (runs / name / "summary.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="looks the training process up in /proc")
def test_it_ends_with_the_table_of_one_left_in_peace_and_names_what_is_damaged(tmp_path, study):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    finish(study, whole)
    first, second, *_ = (cell.name for cell in study.cells)
    kill_in_the_middle(study, cut, first)
    kill_in_the_middle(study, cut, second)
    assert f"started {second} from" in finish(study, cut)
    tables = [table(study, runs)[0] for runs in (whole, cut)]
    assert len(tables[0]) >= 4 * 4 and tables[0].equals(tables[1])

    (cut / first / "config.json").write_text("{")
    rest, material = table(study, cut)
    assert rest.equals(tables[0][(tables[0].algo != "mag") | (tables[0].seed != 0)].reset_index(drop=True))
    assert material.missing == [f"{first} (no curve)"]
    assert f"{cut / first / 'config.json'} is not a run's configuration" in material.problems[0]
    sweep = start(study, cut)
    output, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 1 and f"1 of 4 runs failed: {first}" in output.decode()


def table(study, runs):
    """The study's tidy table without times, and the data of its report."""
    material = of_study(study, runs, runs / "none")
    return to_table(material.records, material.panels, material.curves).drop(columns=TIMES), material
