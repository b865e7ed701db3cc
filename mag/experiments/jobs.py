"""Running `mag train` for the cells of a study, as processes on this machine."""

import contextlib
import dataclasses
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from mag.algorithms.config import RunConfig
from mag.experiments.cells import Cell
from mag.runs.folder import LOCK, RunFolder
from mag.runtime import own_cores

OWN_PROGRAM = (sys.executable, "-m", "mag")
PROGRAM: tuple[str, ...] = OWN_PROGRAM
"""The program that trains; a job's words are its arguments."""
TAIL = 1 << 20
"""Bytes at the end of metrics.jsonl in which the latest test is looked for."""


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """One training process: a cell, or cells that differ only in the seed, side by side."""

    name: str
    cells: tuple[Cell, ...]
    path: Path
    """Run folder."""

    @property
    def words(self) -> list[str]:
        """The arguments of `mag` that train the job's cells."""
        return self.cells[0].command(self.path, len(self.cells))

    @property
    def steps(self) -> int:
        return self.cells[0].config.steps

    @property
    def config(self) -> RunConfig:
        """The configuration of the job's run."""
        return dataclasses.replace(self.cells[0].config, num_seeds=len(self.cells))

    @property
    def log(self) -> Path:
        """The file with the job's output, beside the run folder."""
        return self.path.with_name(f"{self.path.name}.log")


class Outcome(NamedTuple):
    """How a job ended."""

    job: Job
    code: int
    reason: str
    """Why a job failed, as `why` says it; empty if the job succeeded."""


@runtime_checkable
class Pool(Protocol):
    """A place where jobs run: this machine, or a cluster."""

    def is_full(self) -> bool:
        """Whether no further job can be started now."""
        ...

    def start(self, job: Job) -> None:
        """Start a job."""
        ...

    def running(self) -> dict[Job, float]:
        """Running jobs, and when each began (seconds of `time.monotonic`)."""
        ...

    def ended(self) -> list[Outcome]:
        """Jobs that ended since the last call; does not wait."""
        ...

    def interrupt(self) -> None:
        """Ask every job to save and stop, as Ctrl-C does."""
        ...


class Processes:
    """At most `count` processes at once on this machine, each with its share of the cores."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._processes: dict[Job, tuple[subprocess.Popen[bytes], float, int]] = {}

    def is_full(self) -> bool:
        return len(self._processes) >= self.count

    def start(self, job: Job) -> None:
        job.path.parent.mkdir(parents=True, exist_ok=True)
        taken = {place for _, _, place in self._processes.values()}
        place = next(number for number in range(self.count) if number not in taken)
        with job.log.open("ab") as log:
            process = subprocess.Popen(
                [*PROGRAM, *job.words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the process once, by `interrupt`
            )
        give_cores(process.pid, place, self.count)
        self._processes[job] = (process, time.monotonic(), place)

    def running(self) -> dict[Job, float]:
        return {job: begin for job, (_, begin, _) in self._processes.items()}

    def ended(self) -> list[Outcome]:
        codes = {job: process.poll() for job, (process, _, _) in self._processes.items()}
        outcomes = [Outcome(job, code, why(job.log, code)) for job, code in codes.items() if code is not None]
        for outcome in outcomes:
            del self._processes[outcome.job]
        return outcomes

    def interrupt(self) -> None:
        for process, _, _ in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)


def give_cores(pid: int, place: int, places: int) -> None:
    """Give a process its share of the cores, if there are several processes and at least a core for each.

    Otherwise every process would start as many threads as there are cores, and they would wait for each other.
    """
    if places == 1 or own_cores() < places or not hasattr(os, "sched_setaffinity"):
        return
    share = sorted(os.sched_getaffinity(0))[place::places]
    with contextlib.suppress(OSError):
        os.sched_setaffinity(pid, share)


def why(log: Path, code: int) -> str:
    """Why a job failed: the signal that ended the process, or the last line in its log; empty for code 0."""
    if code == 0:
        return ""
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    last = lines[-1].removeprefix("mag: ") if lines else "nothing was printed"
    return last if code == 2 else f"exit code {code}: {last}"


def is_in_use(path: Path) -> bool:
    """Whether a process is using a run folder."""
    try:
        with (path / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def is_finished(path: Path, steps: int) -> bool:
    """Whether the run in a folder is finished and has played at least `steps` environment steps."""
    try:
        summary = json.loads(RunFolder(path).summary.read_text())
        return bool(summary["env_steps"] >= steps)
    except (OSError, ValueError, LookupError, TypeError):
        return False


class Glance(NamedTuple):
    """A run's progress, from the last rows of its metrics."""

    env_steps: int
    win_rate: float | None
    """Win rate of the last seed's latest test; None before the first test, or where nothing can be won."""
    returns: float | None
    """Mean return of the same test; None before the first test."""
    seconds: float = 0.0
    """Time trained, over all processes that worked on the run."""


def glance(path: Path) -> Glance:
    """The progress of the run in a folder; reads only the end of its metrics."""
    try:
        with RunFolder(path).metrics.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            lines = file.read().splitlines()
    except OSError:
        return Glance(0, None, None)
    rows = [row for line in lines if isinstance((row := as_row(line)).get("env_steps"), int)]
    if not rows:
        return Glance(0, None, None)
    tested: dict[str, Any] = next((row for row in reversed(rows) if "eval/return" in row), {})
    last = rows[-1]
    return Glance(
        last["env_steps"], tested.get("eval/win_rate"), tested.get("eval/return"), last.get("time/elapsed", 0.0)
    )


def as_row(line: bytes) -> dict[str, Any]:
    """A line of metrics.jsonl; empty where it is damaged."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}
