"""What `mag sweep` shows: a live table on a terminal, plain lines elsewhere."""

import time
from collections import defaultdict
from collections.abc import Iterable
from statistics import mean
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mag.experiments.jobs import Glance, Job, Outcome, glance
from mag.runs.logger import duration, number

REFRESH = 1.0
"""Seconds between two readings of the runs' metrics."""
PLAIN_EVERY = 60.0
"""Seconds between two lines about running jobs where the output is not a terminal."""


class Pace:
    """Seconds per environment step of each method on each environment, as measured so far."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._now: dict[tuple[str, str], float] = {}

    def add(self, job: Job, steps: int, seconds: float, *, is_over: bool) -> None:
        """Record the `seconds` of a job for its `steps`: all of a finished job's, or those so far."""
        if steps > 0 and seconds > 0:
            if is_over:
                self._known[method_and_env(job)].append(seconds / steps)
            else:
                self._now[method_and_env(job)] = seconds / steps

    def seconds(self, job: Job, steps: int) -> float | None:
        """Seconds that `steps` of a job will take, by the pace of its method on its environment, else of its method on
        other environments, else of all jobs; None if no pace is known."""
        known = {key: mean(each) for key, each in self._known.items()}
        known = self._now | known
        method, env = method_and_env(job)
        same_method = [pace for (each, _), pace in known.items() if each == method]
        choices = [[known[method, env]] if (method, env) in known else [], same_method, list(known.values())]
        return next((steps * mean(paces) for paces in choices if paces), None)


def method_and_env(job: Job) -> tuple[str, str]:
    """A job's method and environment."""
    return job.cells[0].config.algo, job.cells[0].config.env


class Display:
    """The output of a sweep; a context manager, which shows the live table between entering and leaving."""

    def __init__(self, title: str, jobs: list[Job], *, done: int, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._title = title
        self._jobs = jobs
        self._done = done
        """Runs of the study that need no job: finished in another folder, or kept."""
        self._live = Live(console=self._console, refresh_per_second=2, transient=True)
        self._pace = Pace()
        self._begun: dict[Job, int] = {}
        """Steps of each run when it was started here."""
        self._ended = 0
        self._failed = 0
        self._read = self._printed = time.monotonic()

    def __enter__(self) -> "Display":
        done = f", {self._done} more are finished or kept" if self._done else ""
        self.say(f"{self._title}: {len(self._jobs)} runs{done}")
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Print a line, above the table where there is one."""
        self._console.print(text, markup=False)

    def started(self, job: Job) -> None:
        """Say that a job starts or resumes."""
        self._begun[job] = glance(job.path).env_steps
        resumed = f" from {self._begun[job]} env steps on" if self._begun[job] else ""
        self.say(f"started {job.name}{resumed}")

    def elsewhere(self, job: Job) -> None:
        """Say that another process trains a job."""
        self.say(f"{job.name} is being trained by another process; its folder will be checked again")

    def ended(self, outcome: Outcome, seen: Glance, seconds: float) -> None:
        """Say that a job has ended; `seconds` is how long it ran in this sweep, 0 if it was finished before."""
        job = outcome.job
        if outcome.code:
            self._failed += 1
            self.say(f"FAILED {job.name}: {outcome.reason}")
            return
        self._ended += 1
        if seconds:
            self._pace.add(job, seen.env_steps - self._begun.get(job, 0), seconds, is_over=True)
        else:
            self._pace.add(job, seen.env_steps, seen.seconds, is_over=True)
        if seconds:
            self.say(f"finished {job.name}: {results(seen)}, {duration(seconds)}; {self._ended} of {len(self._jobs)}")

    def update(self, running: dict[Job, float], waiting: Iterable[Job]) -> None:
        """Show the running jobs and the time left."""
        now = time.monotonic()
        if now - self._read < REFRESH:
            return
        self._read = now
        seen = {job: glance(job.path) for job in running}
        for job, begin in running.items():
            self._pace.add(job, seen[job].env_steps - self._begun.get(job, 0), now - begin, is_over=False)
        left = self._left(seen, waiting)
        if self._console.is_terminal:
            self._live.update(Group(Text(self._headline(left), style="bold"), table(running, seen)))
        elif now - self._printed >= PLAIN_EVERY:
            self._printed = now
            runs = ", ".join(f"{job.name} {min(100, 100 * seen[job].env_steps // job.steps)} %" for job in running)
            self.say(f"{self._headline(left)}; running: {runs or 'nothing'}")

    def _left(self, running: dict[Job, Glance], waiting: Iterable[Job]) -> float | None:
        """Seconds until all jobs are done, if as many jobs as now run at once, each at its known pace; None if a pace
        is unknown."""
        rest = [self._pace.seconds(job, max(0, job.steps - seen.env_steps)) for job, seen in running.items()]
        later = [self._pace.seconds(job, job.steps) for job in waiting]
        known = [each for each in rest if each is not None]
        if not rest or len(known) < len(rest) or None in later:
            return None
        total = sum(known) + sum(each for each in later if each is not None)
        return max(total / len(rest), *known)

    def _headline(self, left: float | None) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        time_left = "time left not known yet" if left is None else f"{duration(left)} left"
        return f"{self._ended} of {len(self._jobs)} runs finished{failed}, {time_left}"


def table(running: dict[Job, float], seen: dict[Job, Glance]) -> Table:
    """The running jobs, a line each."""
    grid = Table.grid(padding=(0, 2))
    for job, begin in running.items():
        share = min(1.0, seen[job].env_steps / job.steps)
        bar = "━" * round(20 * share)
        grid.add_row(job.name, f"{bar:╌<20}", f"{share:.0%}", duration(time.monotonic() - begin), results(seen[job]))
    return grid


def results(seen: Glance) -> str:
    """The latest test of a run in words."""
    if seen.returns is None:
        return "not tested yet"
    won = "" if seen.win_rate is None else f"win rate {number(seen.win_rate)}, "
    return f"{won}return {number(seen.returns)} at {seen.env_steps} env steps"
