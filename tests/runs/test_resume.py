"""A run that was stopped, anyhow, ends just like one that was not: parameters and metrics, bit for bit."""

import dataclasses
import functools
import json
import os
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
from tests.runs.test_checkpoint import bits
from tests.runs.test_train import interrupting
from tests.support import fake
from tests.support.fake import train


def small_config(algo, **changes):
    """A run of seconds: 10 iterations of 32 steps, learning from the fourth, two evaluations between."""
    config = default_config(algo, "probe/memory", "debug", "tuned")
    return dataclasses.replace(config, steps=320, num_seeds=2, **changes)


CASES = {
    "fake": (fake.fake_config, fake.build),
    **{algo: (functools.partial(small_config, algo), set_up) for algo in ALGORITHMS},
    "mag of two workers": (functools.partial(small_config, "mag", workers=2), set_up),
}
"""Algorithms by name: how to make a small configuration of theirs, and how to build them."""

NAMES = [name if name == "fake" else pytest.param(name, marks=pytest.mark.slow) for name in CASES]


def metrics(path):
    """All rows without their timings."""
    lines = (path / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if not k.startswith("time/")} for line in lines]


def final_state(path, config, build):
    _, state = build(config)
    restored = Checkpoints(path / "checkpoints", keep=2).restore(state)
    assert restored.damaged == []
    progress = {k: v for k, v in restored.progress.items() if k not in ("wall_seconds", "metrics_bytes")}
    return bits(restored.state), progress


@pytest.mark.parametrize("name", NAMES)
def test_n_and_m_iterations_equal_n_restored_and_m(tmp_path, name):
    make_config, build = CASES[name]
    config = make_config()
    train(config, tmp_path / "whole", build=build)

    stopping = functools.partial(stop_after, build=build, iterations=4)
    with pytest.raises(Interrupted):
        train(config, tmp_path / "parts", build=stopping)
    train(config, tmp_path / "parts", build=build)

    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")
    assert final_state(tmp_path / "parts", config, build) == final_state(tmp_path / "whole", config, build)


def stop_after(config, *, build, iterations):
    """The algorithm, asked by a signal to stop in the given iteration."""
    setup, state = build(config)
    left = iter(range(iterations, 0, -1))
    iterate = setup.algorithm.iteration

    def iteration(state, play):
        if next(left) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return iterate(state, play)

    object.__setattr__(setup.algorithm, "iteration", iteration)
    return setup, state


def test_an_extended_run_learns_what_a_longer_one_does(tmp_path):
    build, longer = fake.build, fake.fake_config()
    shorter = dataclasses.replace(longer, steps=longer.steps // 2)
    train(longer, tmp_path / "whole", build=build)
    train(shorter, tmp_path / "parts", build=build)
    train(longer, tmp_path / "parts", build=build)
    assert final_state(tmp_path / "parts", longer, build) == final_state(tmp_path / "whole", longer, build)
    # The shorter run was tested at its end too; all else is the same.
    for part, whole in zip(metrics(tmp_path / "parts"), metrics(tmp_path / "whole"), strict=True):
        assert {name: part.get(name) for name in whole} == whole


def test_a_damaged_newest_checkpoint_costs_time_not_the_run(tmp_path, capsys):
    config = fake.fake_config(checkpoint=CheckpointConfig(every=0.0, keep=2))
    train(config, tmp_path / "whole", build=fake.build)
    with pytest.raises(Interrupted):
        train(
            config,
            tmp_path / "parts",
            build=functools.partial(interrupting, at=6, signum=signal.SIGTERM),
        )
    (tmp_path / "parts" / "checkpoints" / "6" / "manifest.json").write_text("{}")
    train(config, tmp_path / "parts", build=fake.build)
    output = capsys.readouterr().out
    assert "6 is damaged" in output and "at iteration 5" in output
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")


def start(path, steps=400, pause=0.01):
    """The fake's program, a checkpoint after every iteration."""
    root = Path(fake.__file__).parents[2]
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
    config = fake.fake_config()
    assert final_state(tmp_path / "killed", config, fake.build) == final_state(tmp_path / "whole", config, fake.build)


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
