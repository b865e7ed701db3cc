"""`mag report`: compare the runs of a study, or any runs."""

import sys
from dataclasses import dataclass
from pathlib import Path

from mag.cli.parsing import parse
from mag.errors import UsageError
from mag.options import choice


@dataclass(frozen=True)
class Options:
    """Write a tidy table, statistics, figures and a page of the study in file STUDY.toml, or of run folders, folders of
    run folders and folders of kept curves."""

    out: Path | None = choice(None, source=None)
    """Where to write (default: report, in the folder of the study's runs or here)."""
    csv: str = choice("", source=None)
    """Runs of other methods to compare with: NAME=FILE, several separated by commas; a file has the columns env_steps,
    seed, win_rate and, for several environments, env."""
    metric: str | None = choice(None, source=None)
    """eval/win_rate, eval/return, train/win_rate or train/return (default: the first that there is)."""
    runs: Path | None = choice(None, source=None)
    """Folder of the study's run folders (default: runs/<study>)."""
    results: Path = choice(Path("results"), source=None)
    """Folder of kept curves."""
    errors: bool = choice(False, source=None)
    """First measure the models of the study's run folders along rollouts, and keep the errors (Fig. 3)."""
    keep: bool = choice(False, source=None)
    """Keep the study's finished curves, table and figure under results/<study>."""


OF_STUDIES = ("keep", "errors", "runs", "results")
"""Options that have no effect on run folders."""


def run(words: list[str]) -> None:
    """Write the report and print its table."""
    sources, options = parse(words, Options(), "mag report", ("STUDY.toml|RUN...",))
    files = [named_file(word) for word in options.csv.split(",") if word]
    others = dict(files)
    if len(others) < len(files):
        raise UsageError(f"--csv {options.csv} names a method twice; give each file a name of its own")
    from mag.experiments import report
    from mag.experiments.study import load_study
    from mag.experiments.sweep import runs_folder

    paths = [Path(source) for source in sources]
    studies = [path for path in paths if path.suffix == ".toml"]
    if studies and len(paths) > 1:
        raise UsageError(f"{studies[0]} is a study file: name it alone, or run folders without it")
    if studies:
        study = load_study(studies[0])
        runs = runs_folder(study, options.runs)
        out = options.out or runs / "report"
        report.check_out(out, options.results / study.name)
        unmeasured = report.measure_errors(study, runs, options.results) if options.errors else []
        material = report.of_study(study, runs, options.results)
        material = material._replace(problems=[*material.problems, *unmeasured])
    elif given := [name for name in OF_STUDIES if getattr(options, name) != getattr(Options(), name)]:
        raise UsageError(f"--{given[0]} is for a study; name its file")
    else:
        out = options.out or Path("report")
        report.check_out(out)
        material = report.of_runs(paths)
    written = report.write_report(report.add_others(material, others), out, options.metric)
    for note in written.notes:
        print(note, file=sys.stderr)
    print(written.table, end="")
    if options.keep:
        print(report.keep(material, written.folder, options.results))
    print(written.folder / "index.html")


def named_file(word: str) -> tuple[str, Path]:
    """`NAME=FILE` taken apart."""
    name, equals, path = word.partition("=")
    if not (name and equals and path):
        raise UsageError(f"--csv {word} must be NAME=FILE, such as --csv QMIX=qmix.csv")
    return name, Path(path)
