"""`mag sweep`: make the runs of a study."""

import sys
from dataclasses import dataclass
from pathlib import Path

from mag.cli.parsing import parse
from mag.options import choice, number


@dataclass(frozen=True)
class Options:
    """Make the runs of the study in file STUDY.toml. The same command again continues after a stop: finished runs are
    skipped, interrupted ones resumed. Exit codes: 0 all runs are finished, 1 some failed, 130 stopped by Ctrl-C."""

    jobs: int = number(1, least=1, source=None, only_without="ray")
    """Runs trained at once on this machine, each with its share of the cores."""
    ray: str | None = choice(None, source=None)
    """Train on a Ray cluster instead: the address of its head, `auto` for this machine's, `local` for one made here."""
    cpus: float = number(1.0, above=0, source=None, only_with="ray")
    """CPUs of the cluster that a run takes."""
    gpus: float = number(0.0, least=0, source=None, only_with="ray")
    """GPUs of the cluster that a run takes: 0.25 puts four runs on each."""
    dry_run: bool = choice(False, source=None)
    """Print the commands of the runs that are not finished, and train nothing."""
    seeds_together: bool = choice(False, source=None)
    """Train all seeds of a curve in one process, side by side; meant for a GPU."""
    runs: Path | None = choice(None, source=None)
    """Folder of the run folders (default: runs/<study>)."""
    results: Path = choice(Path("results"), source=None)
    """Folder of kept curves; runs whose curves are kept there are not made again."""


def run(words: list[str]) -> None:
    """Make the runs, or print their commands."""
    (path,), options = parse(words, Options(), "mag sweep", ("STUDY.toml",))
    from mag.experiments import sweep
    from mag.experiments.jobs import Pool, Processes
    from mag.experiments.study import load_study

    study = load_study(Path(path))
    runs = sweep.runs_folder(study, options.runs)
    if options.dry_run:
        sweep.print_commands(study, runs, options.results, seeds_together=options.seeds_together)
        return
    pool: Pool
    if options.ray is None:
        pool = Processes(options.jobs)
    else:
        from mag.experiments.ray_pool import RayJobs

        pool = RayJobs(options.ray, cpus=options.cpus, gpus=options.gpus)
    sys.exit(sweep.sweep(study, runs, options.results, pool, seeds_together=options.seeds_together))
