"""Host environments in processes of their own, which are replaced when they fail.

A seat is one environment: its process (`mag.play.worker`), its current time step and its pending request. If the
process crashes, hangs or raises, the episode breaks off; after a pause that grows with the failures in a row, another
process begins a new one. An error that a restart cannot fix raises PlayError.
"""

import contextlib
import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int

from mag.envs import EnvSpec, tether
from mag.envs.host import record_type
from mag.errors import PlayError
from mag.play.host_config import HostConfig
from mag.play.worker import BROKEN, MAKE, READY, REFUSED, RESET, SHOWN, STEP, Channel

LONGEST_PAUSE = 30.0
"""Most seconds before a process is started again."""
LONGEST_WAIT = 0.5
"""Seconds between two checks whether a wait has to stop."""
CLOSE_SECONDS = 5.0
"""Seconds that an environment has to close."""
LOOK_EVERY = 100
"""Steps between two checks of a process's memory."""


class StoppedError(Exception):
    """A wait was called off."""


@dataclass
class Lost:
    """Counts of what failures have cost."""

    restarts: int = 0
    """Processes started again, for whatever reason."""
    episodes: int = 0
    """Episodes broken off."""

    def __add__(self, other: "Lost") -> "Lost":
        return Lost(self.restarts + other.restarts, self.episodes + other.episodes)


State = Literal["down", "starting", "resetting", "stepping", "ready"]


class Seat:
    """One environment. `next_seed` gives the seed of each new episode."""

    def __init__(
        self, spec: EnvSpec, config: HostConfig, next_seed: Callable[[], int], content: dict[str, Any] | None = None
    ) -> None:
        self.config = config
        self.shown = np.zeros((), record_type(spec))
        """The environment's current time step; valid while the seat is ready."""
        self.state: State = "down"
        self.until = 0.0
        """Time at which the answer is due, or the process of a seat that is down is started."""
        self.recovering = False
        """Whether its process is being replaced; `Seats.wait` does not wait for such a seat."""
        self.next_seed = next_seed
        self.lost = Lost()
        self.events: list[np.void | None] = []
        """Events since the last `Seats.wait`: time steps, and None for an episode that broke off."""
        self._failures = 0
        """Failures since an episode last ended."""
        self._spec = spec
        self._request = json.dumps(
            {"name": spec.name, "content": content, "nearest_first": spec.nearest_first}
        ).encode()
        self._process: Any = None
        self._channel: Any = None
        self._folder = Path()
        self._episodes, self._steps = 0, 0

    def fileno(self) -> int:
        """The socket of its process, for selectors."""
        return int(self._channel.fileno())

    # Requests and answers.

    def reset(self) -> None:
        """Begin a new episode, in a new process if the old one has played enough episodes or grown too large."""
        most = self.config.episodes_per_process
        if self._process is not None and (0 < most <= self._episodes or self._is_too_large()):
            self.stop(CLOSE_SECONDS)
            self.lost.restarts += 1
            self.recovering = True
        if self._process is None:
            self.state = "down"
            return
        self._episodes += 1
        self._ask(RESET, self.next_seed().to_bytes(8, "little"), "resetting", self.config.start_seconds)

    def step(self, action: Int[np.ndarray, " agents"]) -> None:
        """Play a joint action."""
        self._steps += 1
        if self._steps % LOOK_EVERY == 0 and self._is_too_large():
            self._fail(f"its process takes more than {self.config.memory:g} GiB")
            return
        self._ask(STEP, np.asarray(action, np.int32).tobytes(), "stepping", self.config.step_seconds)

    def wake(self, now: float) -> None:
        """Start the process of a seat that is down, if it is due."""
        if self.state == "down" and now >= self.until:
            self._start()

    def hear(self) -> None:
        """Process the answer that has arrived."""
        try:
            kind, payload = self._channel.receive()
        except EOFError:
            self._fail(f"its process ended{self._last_output()}")
            return
        if kind == REFUSED:
            raise PlayError(payload.decode())
        if kind == BROKEN:
            self._fail(payload.decode())
        elif kind == READY:
            self.reset()
        elif kind == SHOWN:
            shown: Any = np.frombuffer(payload, self.shown.dtype)[0]
            self.shown = shown
            self.events.append(shown)
            self.state, self.recovering = "ready", False
            if self.shown["terminated"] or self.shown["truncated"]:
                self._failures = 0

    def check_time(self, now: float) -> None:
        """Give up on an answer that is overdue."""
        if self.state in ("starting", "resetting", "stepping") and now > self.until:
            seconds = self.config.step_seconds if self.state == "stepping" else self.config.start_seconds
            what = {"starting": "was not made", "resetting": "began no episode", "stepping": "played no step"}
            self._fail(f"it {what[self.state]} within {seconds:g} s")

    def take_over(self, other: "Seat") -> None:
        """Take over another seat's process and begin an episode in it."""
        for name in ("_process", "_channel", "_folder", "_episodes", "_steps"):
            setattr(self, name, getattr(other, name))
        if other.state == "ready":
            self.reset()
        else:
            self.stop()

    def stop(self, patience: float = 0.0) -> None:
        """End the process; the environment has `patience` seconds to close."""
        if self._process is not None:
            self._channel.close()
            tether.end(self._process, patience=patience)
            shutil.rmtree(self._folder, ignore_errors=True)
        self._process = self._channel = None
        self.state, self.until = "down", 0.0

    # Its process.

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        # Children import from this program's paths, and leave the accelerator to it.
        surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "cpu"}
        # Temporary files that a killed process leaves are removed with this folder.
        self._folder = Path(tempfile.mkdtemp(prefix="mag-"))
        surroundings |= {"TMPDIR": str(self._folder)}
        with theirs, (self._folder / "output.txt").open("wb") as output:
            self._process = tether.start(
                [sys.executable, "-m", "mag.play.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=surroundings,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=output,
            )
        self._channel = Channel(ours)
        self._episodes = self._steps = 0
        self._ask(MAKE, self._request, "starting", self.config.start_seconds)

    def _ask(self, kind: bytes, payload: bytes, state: State, seconds: float) -> None:
        self.state, self.until = state, time.monotonic() + seconds
        try:
            self._channel.send(kind, payload)
        except EOFError:
            self._fail(f"its process ended{self._last_output()}")

    def _fail(self, why: str) -> None:
        """Break the episode off and plan a restart. Raises PlayError after `config.failures` failures in a row."""
        if self.state in ("stepping", "ready"):
            self.lost.episodes += 1
            self.events.append(None)
        self._failures += 1
        self.lost.restarts += 1
        self.stop()
        if self._failures >= self.config.failures:
            raise PlayError(
                f"{self._spec.name} failed {self._failures} times in a row, the last time because {why}; fix the cause"
            )
        pause = 0.0 if self._failures == 1 else min(2.0 ** (self._failures - 2), LONGEST_PAUSE)
        self.until, self.recovering = time.monotonic() + pause, True

    def _last_output(self) -> str:
        """How the process ended, and its last line of output."""
        with contextlib.suppress(Exception):
            self._process.wait(1.0)
        code = self._process.poll()
        how = "" if code is None else f" with signal {-code}" if code < 0 else f" with exit code {code}"
        lines = (self._folder / "output.txt").read_text(errors="replace").strip().splitlines()
        return f"{how}; its last output: {lines[-1][:300]}" if lines else how

    def _is_too_large(self) -> bool:
        return resident(self._process.pid) > self.config.memory * 2**30


class Seats:
    """The seats of a player, numbered."""

    def __init__(self) -> None:
        self._seats: list[Seat] = []
        self._past = Lost()
        self._stops = threading.Event()

    def __len__(self) -> int:
        return len(self._seats)

    def __getitem__(self, env: int) -> Seat:
        return self._seats[env]

    @property
    def are_ready(self) -> Bool[np.ndarray, " envs"]:
        """Which seats show a time step."""
        return np.array([seat.state == "ready" for seat in self._seats], bool)

    @property
    def shown(self) -> np.ndarray:
        """The seats' current or last time steps, as records."""
        return np.stack([seat.shown for seat in self._seats])

    @property
    def lost(self) -> Lost:
        """What failures have cost so far."""
        return sum((seat.lost for seat in self._seats), self._past)

    def fill(self, seats: Iterable[Seat]) -> None:
        """Replace the seats by new ones and begin an episode at each; running processes are reused."""
        old, self._seats = self._seats, list(seats)
        for seat in old:
            self._past += seat.lost
        for seat, other in zip(self._seats, old, strict=False):
            seat.take_over(other)
        for other in old[len(self._seats) :]:
            other.stop(CLOSE_SECONDS)

    def wait(self, wanted: Bool[np.ndarray, " envs"]) -> list[tuple[int, np.void | None]]:
        """Wait until no seat is busy, except seats whose process is being replaced, and a `wanted` seat, or every seat,
        shows a time step.

        Returns pairs of a seat's number and an event, each seat's in order: a time step, or None for a broken episode.
        Raises StoppedError if another thread calls `stop_waiting`.
        """
        with selectors.DefaultSelector() as selector:
            while self._is_waiting(wanted):
                if self._stops.is_set():
                    raise StoppedError
                self._turn(selector)
        events = [(env, event) for env, seat in enumerate(self._seats) for event in seat.events]
        for seat in self._seats:
            seat.events = []
        return events

    def stop_waiting(self, stops: bool = True) -> None:
        """Make `wait` raise StoppedError in whichever thread; with `stops` false, let it wait again."""
        self._stops.set() if stops else self._stops.clear()

    def close(self) -> None:
        """End all processes."""
        for seat in self._seats:
            seat.stop(CLOSE_SECONDS)

    def _is_waiting(self, wanted: Bool[np.ndarray, " envs"]) -> bool:
        ready = self.are_ready
        held_up = any(seat.state != "ready" and not seat.recovering for seat in self._seats)
        return held_up or not (ready.all() or (ready & wanted).any())

    def _turn(self, selector: selectors.BaseSelector) -> None:
        """Start the processes that are due, then wait for the next answer or deadline."""
        now = time.monotonic()
        for seat in self._seats:
            seat.wake(now)
        busy = [seat for seat in self._seats if seat.state in ("starting", "resetting", "stepping")]
        waiting = [seat for seat in self._seats if seat.state != "ready"]
        soonest = max(0.0, min((seat.until for seat in waiting), default=now) - time.monotonic())
        for seat in busy:
            selector.register(seat, selectors.EVENT_READ)
        heard = selector.select(min(soonest, LONGEST_WAIT))
        for seat in busy:
            selector.unregister(seat)
        for key, _ in heard:
            seat = key.fileobj  # type: ignore[assignment]
            seat.hear()
        now = time.monotonic()
        for seat in self._seats:
            seat.check_time(now)


def resident(pid: int) -> int:
    """Bytes of memory of a process and its descendants; 0 if the system does not say."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        tasks = Path(f"/proc/{pid}/task").iterdir()
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(resident(child) for child in children)
