"""`mag report STUDY|RUN...`."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

from mag.cli import read
from mag.errors import UsageError


def run(words: list[str]) -> None:
    """Write a report of a study or of run folders."""
    import tyro

    @dataclasses.dataclass
    class Report:
        source: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="STUDY.toml|RUN...")]
        """A study file, or run folders, or folders of run folders."""
        out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
        """Where to write (default: runs/<study>/report, or report for run folders)."""
        csv: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=FILE")] = ()
        """Runs of another method to lay beside: a CSV of env_steps, seed, win_rate and env. May be repeated."""
        metric: Annotated[str | None, tyro.conf.arg(metavar="METRIC", help_behavior_hint="")] = None
        """eval/win_rate, eval/return, train/win_rate or train/return (default: the first there is)."""
        runs: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
        """Folder of the study's run folders (default: runs/<study>)."""
        results: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results")
        """Folder of kept curves."""
        keep: tyro.conf.FlagCreatePairsOff[bool] = False
        """Keep the study's finished curves, table and figure under results/<study>."""

    parsed = read(Report, words, "Compare runs: a tidy table, statistics, figures and a page.")
    others = dict(named_file(word) for word in parsed.csv)
    from mag.experiments import report
    from mag.experiments.study import load_study
    from mag.experiments.sweep import runs_folder

    studies = [path for path in parsed.source if path.suffix == ".toml"]
    if studies and len(parsed.source) > 1:
        raise UsageError(f"{studies[0]} is a study file: name it alone, or run folders without it")
    if not parsed.source:
        raise UsageError("name a study file or run folders; `mag report --help` explains")
    if studies:
        study = load_study(studies[0])
        runs = runs_folder(study, parsed.runs)
        material, usual = report.of_study(study, runs, parsed.results), runs / "report"
    elif parsed.keep:
        raise UsageError("--keep keeps the curves of a study; name its file")
    else:
        material, usual = report.of_runs(parsed.source), Path("report")
    written = report.write_report(report.add_others(material, others), parsed.out or usual, parsed.metric)
    for note in written.notes:
        print(note, file=sys.stderr)
    print(written.table, end="")
    if parsed.keep:
        print(report.keep(material, written.folder, parsed.results))
    print(written.folder / "index.html")


def named_file(word: str) -> tuple[str, Path]:
    """`NAME=FILE` taken apart."""
    name, equals, path = word.partition("=")
    if not (name and equals and path):
        raise UsageError(f"--csv {word} must be NAME=FILE, such as --csv QMIX=qmix.csv")
    return name, Path(path)
