"""`mag sweep`: train the runs of a study that are not finished yet."""

import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from mag.errors import UsageError
from mag.experiments.cells import Cell
from mag.experiments.display import Display
from mag.experiments.jobs import Job, Outcome, Pool, glance, is_finished, is_in_use
from mag.experiments.kept import CURVES, kept_cells, outdated, outdated_note, read_cells
from mag.experiments.study import Study, as_command
from mag.runs.config_file import check_same, read_config
from mag.runs.folder import RunFolder
from mag.runs.interrupt import StopRequest

PAUSE = 0.25
"""Seconds between two checks of the jobs."""
FAILED = 1
"""Exit code where a run failed."""


def runs_folder(study: Study, runs: Path | None) -> Path:
    """The folder with a study's runs: `runs`, by default `runs/<study>`."""
    return Path("runs") / study.name if runs is None else runs


def plan_jobs(study: Study, runs: Path, kept: set[str], *, seeds_together: bool) -> list[Job]:
    """The jobs that train a study's runs, in the order of the study, without the cells named in `kept`.

    Cells that are finished in the folder of another job, alone or beside other seeds, are left out.
    """
    done = finished_in(study, runs)
    cells = [cell for cell in study.cells if cell.name not in kept]
    if not seeds_together:
        elsewhere = {name for name, folder in done.items() if folder != runs / name}
        return [Job(cell.name, (cell,), runs / cell.name) for cell in cells if cell.name not in elsewhere]
    return [
        Job(name, tuple(group), runs / name)
        for group in neighbours([cell for cell in cells if cell.name not in done])
        for name in [
            group[0].name if len(group) == 1 else f"{group[0].key}-seeds{seed_of(group[0])}-{seed_of(group[-1])}"
        ]
    ]


def finished_in(study: Study, runs: Path) -> dict[str, Path]:
    """The run folders in which cells of a study are finished, by cell name."""
    records, _ = read_cells(study, runs)
    return {
        cell.name: folder
        for cell in study.cells
        if cell.name in records
        for folder in [Path(records[cell.name].origin)]
        if is_finished(folder, cell.config.steps)
    }


def neighbours(cells: list[Cell]) -> list[list[Cell]]:
    """Groups of cells that differ only in the seed and have consecutive seeds."""
    groups: list[list[Cell]] = []
    order = {key: index for index, key in enumerate(dict.fromkeys(cell.key for cell in cells))}
    for cell in sorted(cells, key=lambda cell: (order[cell.key], seed_of(cell))):
        last = groups[-1] if groups else []
        if last and last[-1].key == cell.key and seed_of(last[-1]) + 1 == seed_of(cell):
            last.append(cell)
        else:
            groups.append([cell])
    return groups


def seed_of(cell: Cell) -> int:
    return cell.config.seed


def names_kept(study: Study, results: Path) -> set[str]:
    """The names of the cells whose curves are kept.

    Those whose options are not the study's any more are named on standard error.
    """
    kept = kept_cells(study, results)
    if found := outdated(study, kept):
        again = f"to make such curves again, move {results / study.name / CURVES} away"
        print(f"mag: {outdated_note(found)}; {again}", file=sys.stderr)
    return set(kept)


def print_commands(study: Study, runs: Path, results: Path, *, seeds_together: bool) -> None:
    """Print the `mag train` commands of the runs that are not finished."""
    for job in plan_jobs(study, runs, names_kept(study, results), seeds_together=seeds_together):
        if not is_finished(job.path, job.steps):
            print(as_command(job.words))


def sweep(study: Study, runs: Path, results: Path, pool: Pool, *, seeds_together: bool = False) -> int:
    """Train the runs of a study; returns the exit code: 0, 1 if runs failed, 128 + signal if a signal stopped it.

    Finished runs, and runs whose curves are kept under `results`, are left out. Interrupted runs are resumed. A failed
    run does not stop the others; the last line on standard error names the failed runs and why they failed.
    """
    kept = names_kept(study, results)
    jobs = plan_jobs(study, runs, kept, seeds_together=seeds_together)
    done = len(study.cells) - sum(len(job.cells) for job in jobs)
    with StopRequest(notify=print) as stop, Display(study.title, jobs, done=done) as display:
        work = Sweep(jobs, pool, display)
        try:
            while work.goes_on(stop):
                time.sleep(PAUSE)
        except BaseException:  # a second request to stop, or a fault: no run is left behind unwatched
            pool.interrupt()
            raise
    if stop.signum is not None:
        print(f"stopped: {len(work.finished)} of {len(jobs)} runs are finished; the same command goes on")
        return 128 + stop.signum
    if work.failed:
        print(f"mag: {failures(work.failed, sum(len(job.cells) for job in jobs))}", file=sys.stderr)
        return FAILED
    print(f"all {len(study.cells)} runs are finished; `mag report {study.path}` compares them")
    return 0


class Sweep:
    """A sweep under way."""

    def __init__(self, jobs: list[Job], pool: Pool, display: Display) -> None:
        self.waiting: deque[Job] = deque()
        self.elsewhere: deque[Job] = deque()
        """Jobs that another process is training; checked again when no other job waits."""
        self.finished: list[Job] = []
        self.failed: list[Outcome] = []
        self._pool = pool
        self._display = display
        self._stopping = False
        self.waiting += [job for job in jobs if is_in_use(job.path) or self._is_due(job)]

    def goes_on(self, stop: Any) -> bool:
        """Start jobs while there is room and record those that ended; False when nothing is left to do."""
        if stop.signum is not None and not self._stopping:
            self._stopping = True
            self._pool.interrupt()
        began = self._pool.running()
        for outcome in self._pool.ended():
            self._note(outcome, time.monotonic() - began[outcome.job])
        while not self._stopping and not self._pool.is_full() and (job := self._next()):
            self._display.started(job)
            self._pool.start(job)
        running = self._pool.running()
        self._display.update(running, [*self.waiting, *self.elsewhere])
        return bool(running) or (not self._stopping and bool(self.waiting or self.elsewhere))

    def _next(self) -> Job | None:
        """The next job to start, if there is one; jobs that need not be started are recorded."""
        while self.waiting:
            job = self.waiting.popleft()
            if is_in_use(job.path):
                self._display.elsewhere(job)
                self.elsewhere.append(job)
            elif self._is_due(job):
                return job
        for job in list(self.elsewhere):
            if not is_in_use(job.path):
                self.elsewhere.remove(job)
                if self._is_due(job):
                    return job
        return None

    def _is_due(self, job: Job) -> bool:
        """Whether a job still has to train; if it is finished or its folder holds another run, record that."""
        folder = RunFolder(job.path)
        if folder.config.exists():
            try:
                check_same(read_config(folder), job.config, folder)
            except UsageError as error:
                self._note(Outcome(job, 2, str(error)))
                return False
        if is_finished(job.path, job.steps):
            self._note(Outcome(job, 0, ""))
            return False
        return True

    def _note(self, outcome: Outcome, seconds: float = 0.0) -> None:
        job = outcome.job
        if outcome.code == 0:
            self.finished.append(job)
        elif is_in_use(job.path):  # another process was faster
            self.elsewhere.append(job)
            return
        elif self._stopping:
            self._display.say(f"stopped {job.name}: {outcome.reason.partition(': ')[2] or outcome.reason}")
            return
        else:
            self.failed.append(outcome)
        self._display.ended(outcome, glance(job.path), seconds)


def failures(failed: list[Outcome], runs: int) -> str:
    """The runs that failed and why, in one line."""
    reasons = "; ".join(f"{outcome.job.name} ({outcome.reason}; {outcome.job.log})" for outcome in failed)
    count = sum(len(outcome.job.cells) for outcome in failed)
    return f"{count} of {runs} runs failed: {reasons}; fix the cause and give the same command"
