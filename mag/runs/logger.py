"""A run's output: metrics.jsonl, events for TensorBoard, Weights & Biases if asked for, and a display for people."""

import collections
import json
import os
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table
from tensorboardX.event_file_writer import EventsWriter  # SummaryWriter's thread would die of a full disk unseen
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from mag.errors import discard
from mag.runs.folder import RunFolder
from mag.runs.wandb_logger import WandbLogger

Row = dict[str, Any]
"""One seed's metrics at one iteration; None where there is no value yet."""

LOSSES = ("models/loss", "model_reward/loss", "policy/loss", "critic/loss")
"""The losses that are shown while a run trains; metrics.jsonl has all metrics."""
PLAIN_EVERY = 10.0
"""Seconds between two lines if the output is not a terminal; tests are always shown."""


class Logger:
    """Open while entered; `rows` takes the metrics of one iteration."""

    def __init__(
        self,
        folder: RunFolder,
        *,
        steps: int,
        offset: int,
        done: int,
        has_wins: bool,
        wandb: WandbLogger | None = None,
    ) -> None:
        """`offset`: bytes of metrics.jsonl to keep; `done`: environment steps of the slowest seed so far."""
        self._folder, self._wandb = folder, wandb
        self._offset = offset
        self._terminal = Terminal(steps, done, has_wins)
        self._writers: dict[int, EventsWriter] = {}

    def __enter__(self) -> "Logger":
        if complaint := cut(self._folder, self._offset):
            self.say(complaint)
        self._metrics = self._folder.metrics.open("ab")
        self._terminal.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._terminal.stop()
        self._metrics.close()
        for writer in self._writers.values():
            writer.close()

    def rows(self, rows: list[Row]) -> int:
        """Write one iteration's metrics, one row per seed; returns the new size of metrics.jsonl."""
        for row in rows:
            self._metrics.write(json.dumps(row, allow_nan=False).encode() + b"\n")
        self._metrics.flush()
        for row in rows:
            self._events(row)
            if self._wandb and (complaint := self._wandb.row(row)):
                self.say(complaint)
                self._wandb = None
        self._terminal.rows(rows)
        return self._metrics.tell()

    def say(self, text: str) -> None:
        """Show the user one message."""
        self._terminal.say(text)

    @property
    def is_heard(self) -> bool:
        """Whether output can still be written; not so once the program that it was piped to has ended."""
        return not self._terminal.closed

    def _events(self, row: Row) -> None:
        seed, steps = row["seed"], row["env_steps"]
        if seed not in self._writers:
            folder = self._folder.events / f"seed{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            writer = self._writers[seed] = EventsWriter(str(folder / "events"), f".{steps}")
            # TensorBoard hides points after the checkpoint from which the run resumes: they are played again.
            writer.write_event(Event(step=steps, session_log=SessionLog(status=SessionLog.START)))
        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if value is not None and name not in ("seed", "env_steps")
        ]
        self._writers[seed].write_event(Event(wall_time=time.time(), step=steps, summary=Summary(value=values)))
        self._writers[seed].flush()


def cut(folder: RunFolder, offset: int) -> str | None:
    """Cut metrics.jsonl to its `offset` bytes at the checkpoint; what came after is played again.

    Returns a warning if the file is already shorter; then only an unfinished last row is cut off.
    """
    folder.metrics.touch()
    size = folder.metrics.stat().st_size
    if size < offset:
        os.truncate(folder.metrics, folder.metrics.read_bytes().rfind(b"\n") + 1)
        return f"{folder.metrics} is shorter than it was ({size} of {offset} bytes): rows are missing"
    os.truncate(folder.metrics, offset)
    return None


def read_rows(folder: RunFolder) -> tuple[list[Row], list[int]]:
    """All rows of metrics.jsonl, and the numbers of invalid lines."""
    rows: list[Row] = []
    damaged = []
    for number, line in enumerate(folder.metrics.read_bytes().splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict) and all(isinstance(row.get(name), int) for name in ("env_steps", "seed", "iteration")):
            rows.append(row)
        else:
            damaged.append(number)
    return rows, damaged


class _Console(Console):
    """A console that raises BrokenPipeError on a closed pipe: rich would end the program before the run is saved."""

    def on_broken_pipe(self) -> None:
        """Let the caller handle it."""
        raise BrokenPipeError


class Terminal:
    """A live display on a terminal, plain lines elsewhere; both name a metric as metrics.jsonl does."""

    def __init__(self, steps: int, done: int, has_wins: bool, console: Console | None = None) -> None:
        self._console = console or _Console(highlight=False, soft_wrap=True)
        self._steps = steps
        self._has_wins = has_wins
        self._recent: collections.deque[tuple[float, int, int]] = collections.deque(maxlen=20)
        self._told = 0.0
        self._tested: dict[str, float] = {}
        self.closed = False
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            console=self._console,
        )
        self._task = self._bar.add_task("env_steps", total=steps, completed=done, speed="compiling")
        self._live = Live(self._bar, console=self._console, refresh_per_second=2)

    def start(self) -> None:
        if self._console.is_terminal:
            self._live.start()

    def stop(self) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        if self.closed:
            return
        try:
            self._console.print(text, markup=False)
        except OSError:  # a pipe that is closed, a log file's disk that is full, a terminal that is gone
            self.closed = True
            discard(self._console.file)

    def rows(self, rows: list[Row]) -> None:
        """Show one iteration, mean over the seeds."""
        done = min(row["env_steps"] for row in rows)
        played = sum(row["env_steps"] for row in rows)
        values = average(rows)
        if is_learning(values):
            self._recent.append((time.monotonic(), done, played))
        speed = self._speed() or ("" if len(self._recent) > 1 else "compiling")
        tested = "eval/return" in values
        if tested:
            self._tested = {name: values[name] for name in self._results("eval/") if name in values}
        if self._console.is_terminal:
            self._bar.update(self._task, completed=min(done, self._steps), speed=speed)
            self._live.update(Group(self._bar, self._table(values)))
        elif tested or time.monotonic() - self._told >= PLAIN_EVERY:
            self._told = time.monotonic()
            shown = (self._tested if tested else {}) | self._shown(values)
            told = [f"{name} {number(value)}" for name, value in shown.items()]
            self.say("  ".join([f"env_steps {done}/{self._steps}", *([speed] if speed else []), *told]))

    def _speed(self) -> str:
        """Steps per second of all seeds together and the time left, over the latest iterations that learned.

        The clock starts after the first such iteration, which includes compilation.
        """
        recent = list(self._recent)
        if len(recent) < 2 or recent[-1][1] == recent[0][1]:
            return ""
        (begin, done_before, played_before), (end, done, played) = recent[0], recent[-1]
        left = max(self._steps - done, 0) * (end - begin) / (done - done_before)
        return f"{rate((played - played_before) / (end - begin))} env_steps/s, {duration(left)} left"

    def _results(self, part: str) -> list[str]:
        return [part + "win_rate"] * self._has_wins + [part + "return"]

    def _shown(self, values: Row) -> dict[str, float]:
        """Training results and losses."""
        return {name: values[name] for name in (*self._results("train/"), *LOSSES) if name in values}

    def _table(self, values: Row) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, value in (self._tested | self._shown(values)).items():
            table.add_row(name, number(value))
        return table


def is_learning(values: Row) -> bool:
    """Whether an iteration learned: it has metrics besides those of play, tests and time."""
    return any("/" in name and name.partition("/")[0] not in ("train", "eval", "play", "time") for name in values)


def average(rows: Iterable[Row]) -> dict[str, float]:
    """Mean over the rows of every metric that has a value in each of them."""
    rows = list(rows)
    names = [name for name in rows[0] if all(row.get(name) is not None for row in rows)]
    return {name: sum(row[name] for row in rows) / len(rows) for name in names}


def number(value: float) -> str:
    """A number for people: three significant digits."""
    return f"{value:.3g}"


def rate(per_second: float) -> str:
    """A rate: whole above 10, else with two significant digits, so that a slow one is not shown as none."""
    return f"{per_second:.0f}" if per_second >= 10 else f"{per_second:.2g}"


def duration(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
