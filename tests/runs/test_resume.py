"""A run that was stopped, anyhow, ends just like one that was not: parameters and metrics, bit for bit."""

import dataclasses
import functools
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mag.algorithms.config import CheckpointConfig
from mag.algorithms.registry import ALGORITHMS, default_config
from mag.runs.checkpoint import Checkpoints
from mag.runs.interrupt import Interrupted
from mag.runs.setup import set_up
from mag.runs.train import train
from tests.runs.test_checkpoint import bits
from tests.support.fake import fake_config
from tests.support.stopping import signal_in_iteration

pytestmark = pytest.mark.usefixtures("compile_once")


def small_config(algo, planner=None, **changes):
    """A run of seconds: 15 iterations of at most 24 transitions, learning from the fourth, an evaluation between."""
    config = default_config(algo, "probe/memory", "debug", planner=planner)
    return dataclasses.replace(config, steps=320, num_seeds=2, **changes)


CASES = {
    "fake": fake_config,
    **{algo: functools.partial(small_config, algo) for algo in ALGORITHMS},
    "mag of two workers": functools.partial(small_config, "mag", workers=2),
    "mag with elite resampling": functools.partial(small_config, "mag", planner="elite"),
}
"""Methods by name: how to make a small configuration of theirs."""

QUICK = ("fake", "commnet")
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]


def metrics(path):
    """All rows without their timings."""
    lines = (path / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if not k.startswith("time/")} for line in lines]


def final_state(path, config):
    _, state = set_up(config)
    restored = Checkpoints(path / "checkpoints", keep=2).restore(state)
    assert restored.damaged == []
    progress = {k: v for k, v in restored.progress.items() if k not in ("wall_seconds", "metrics_bytes")}
    return bits(restored.state), progress


@pytest.mark.parametrize("name", NAMES)
def test_n_and_m_iterations_equal_n_restored_and_m(tmp_path, name):
    config = CASES[name]()
    train(config, tmp_path / "whole")

    with pytest.raises(Interrupted), signal_in_iteration(4):
        train(config, tmp_path / "parts")
    assert metrics(tmp_path / "parts")[-1]["iteration"] == 4
    train(config, tmp_path / "parts")

    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")
    assert final_state(tmp_path / "parts", config) == final_state(tmp_path / "whole", config)


def test_an_extended_run_learns_what_a_longer_one_does(tmp_path):
    longer = fake_config()
    shorter = dataclasses.replace(longer, steps=longer.steps // 2)
    train(longer, tmp_path / "whole")
    train(shorter, tmp_path / "parts")
    train(longer, tmp_path / "parts")
    assert final_state(tmp_path / "parts", longer) == final_state(tmp_path / "whole", longer)
    # The shorter run was tested at its end too; all else is the same.
    for part, whole in zip(metrics(tmp_path / "parts"), metrics(tmp_path / "whole"), strict=True):
        assert {name: part.get(name) for name in whole} == whole


def test_a_damaged_newest_checkpoint_costs_time_not_the_run(tmp_path, capsys):
    config = fake_config(checkpoint=CheckpointConfig(every=0.0, keep=2))
    train(config, tmp_path / "whole")
    with pytest.raises(Interrupted), signal_in_iteration(6):
        train(config, tmp_path / "parts")
    (tmp_path / "parts" / "checkpoints" / "6" / "manifest.json").write_text("{}")
    train(config, tmp_path / "parts")
    output = capsys.readouterr().out
    assert "6 is damaged" in output and "at iteration 5" in output
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")


def start(path, steps=400, pause=0.01):
    """The fake's program, a checkpoint after every iteration."""
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.fake", str(path), str(steps), str(pause)],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(path):
    process = start(path)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(4))
def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(tmp_path, attempt):
    generator = random.Random(attempt)
    finish(tmp_path / "whole")
    process = start(tmp_path / "killed")
    if attempt == 0:  # before there is any checkpoint
        wait_until((tmp_path / "killed" / "config.json").exists)
    else:
        wait_for(tmp_path / "killed" / "checkpoints")
        time.sleep(generator.uniform(0.0, 1.0))
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "summary.json").exists()
    finish(tmp_path / "killed")
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole")
    config = fake_config()
    assert final_state(tmp_path / "killed", config) == final_state(tmp_path / "whole", config)


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_the_program_with_their_code(tmp_path, signum, code):
    process = start(tmp_path)
    wait_for(tmp_path / "checkpoints")
    process.send_signal(signum)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert "the same command resumes it" in output
    assert "Traceback" not in output


def wait_for(path):
    wait_until(lambda: path.is_dir() and any(each.name.isdecimal() for each in path.iterdir()))


def wait_until(condition):
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")
