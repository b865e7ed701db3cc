"""Two processes that share the workers of one run learn what one process with as many workers learns."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing

import jax
import pytest

from mag.errors import UsageError
from mag.learning.parallel import device_grid
from mag.runs.folder import RunFolder
from mag.runs.logger import read_rows
from mag.runtime import COORDINATOR, PROCESSES, setup

OPTIONS = ("--env", "probe/two-step", "--algo", "mag", "--size", "debug", "--workers", "2")


def start(folder, steps, **variables):
    words = (sys.executable, "-m", "mag", "train", *OPTIONS, "--steps", str(steps), "--run", str(folder))
    return subprocess.Popen(
        words, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def shown_by(processes, code):
    """What each process has shown when it has ended with `code`."""
    shown = [each.communicate(timeout=300)[0] for each in processes]
    assert [each.returncode for each in processes] == [code] * len(processes)
    return shown


def start_two(folder, steps):
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    names = (COORDINATOR, *PROCESSES)
    return [start(folder, steps, **dict(zip(names, (address, "2", number), strict=True))) for number in "01"]


def rows_of(folder):
    rows, damaged = read_rows(RunFolder(folder))
    assert damaged == []
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows]


@pytest.mark.slow
def test_two_processes_learn_what_one_does_also_when_stopped_and_resumed(tmp_path):
    shown_by([start(tmp_path / "one", 300)], 0)
    two = start_two(tmp_path / "two", 300)
    while not (tmp_path / "two" / "metrics.jsonl").exists() or len(rows_of(tmp_path / "two")) < 6:
        assert two[0].poll() is None
        time.sleep(0.1)
    two[0].send_signal(signal.SIGTERM)  # one process is asked, both stop
    shown_by(two, 128 + signal.SIGTERM)
    assert 6 <= len(rows_of(tmp_path / "two")) < len(rows_of(tmp_path / "one"))
    shown = shown_by(start_two(tmp_path / "two", 300), 0)
    assert "resuming" in shown[0] and "in each of 2 processes" in shown[0] and "env_steps" not in shown[1]
    assert rows_of(tmp_path / "two") == rows_of(tmp_path / "one")


@pytest.mark.parametrize("count", [None, "two"])
def test_processes_that_cannot_be_counted_are_refused(monkeypatch, count):
    monkeypatch.setenv(COORDINATOR, "127.0.0.1:1")
    for name in PROCESSES:
        monkeypatch.delenv(name, raising=False)
    if count:
        monkeypatch.setenv(PROCESSES[0], count)
    with pytest.raises(UsageError, match=r"cannot join the others of its run .*JAX_PROCESS_ID not set"):
        setup(joins=True)
    setup()  # other commands are alone


def test_processes_have_a_worker_on_each_device(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "devices", lambda: [None] * 4)
    assert device_grid(3, 4) == (1, 4)
    with pytest.raises(
        UsageError, match="workers is 3, and the 2 processes of this run have 4 devices; give --workers 4"
    ):
        device_grid(1, 3)
