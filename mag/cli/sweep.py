"""`mag sweep STUDY`."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

from mag.cli import read


def run(words: list[str]) -> None:
    """Make the runs of a study that are not finished; exits with 1 where runs failed, 130 after Ctrl-C."""
    import tyro

    @dataclasses.dataclass
    class Sweep:
        study: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="STUDY.toml")]
        """Study file: environments, methods, seeds, steps and a grid of options."""
        jobs: int = 1
        """Runs trained at once, each with its share of the cores."""
        dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
        """Print the commands of the runs that are not finished, and do nothing."""
        seeds_together: tyro.conf.FlagCreatePairsOff[bool] = False
        """Train all seeds of a curve in one process, side by side: for a GPU."""
        runs: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
        """Folder of the run folders (default: runs/<study>)."""
        results: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results")
        """Folder of kept curves: runs whose curves are kept there are not made again."""

    parsed = read(Sweep, words, "Make the runs of a study. The same command again goes on where it was stopped.")
    from mag.experiments import sweep as sweeping
    from mag.experiments.jobs import Processes
    from mag.experiments.study import load_study

    study = load_study(parsed.study)
    runs = sweeping.runs_folder(study, parsed.runs)
    if parsed.dry_run:
        sweeping.print_commands(study, runs, parsed.results, seeds_together=parsed.seeds_together)
        return
    pool = Processes(parsed.jobs)
    sys.exit(sweeping.sweep(study, runs, parsed.results, pool, seeds_together=parsed.seeds_together))
