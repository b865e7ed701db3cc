"""`mag report`: tables, statistics, figures and a page about a study's runs, or about any run folders."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mag.errors import UsageError
from mag.experiments import export, figures, page
from mag.experiments.analysis import AREA, FINAL, SCORES, Analysis
from mag.experiments.kept import CURVES, kept_records, read_cells, study_records, united, write_records
from mag.experiments.model_errors import (
    RolloutErrors,
    difference_figure,
    difference_table,
    measure,
    read_errors,
    write_errors,
)
from mag.experiments.records import Record, commits, load_records, mixed
from mag.experiments.study import Study
from mag.experiments.table import KEYS, METRICS, name_part, read_other, to_table

WIN = "eval/win_rate"
ON_EACH = "improvement_on_each"
REACH = "reach"
COMMITS = "commits"
FEW = 5
"""Seeds below which intervals are noted to be too narrow."""
LONG = (FINAL, AREA, REACH, ON_EACH, COMMITS)
"""Tables that the page keeps closed until the reader opens them."""


class Material(NamedTuple):
    """The input of a report."""

    title: str
    records: list[Record]
    problems: list[str]
    """A sentence about each thing that could not be read, measured or compared."""
    missing: list[str]
    """Runs of the study that are not finished."""
    panels: str
    """What the panels differ in (see `Study.panels`)."""
    curves: tuple[str, ...] | None
    """What the curves of a panel differ in (see `Study.curves`); None: everything that differs between runs."""
    study: Study | None
    """None for run folders without a study."""
    errors: list[RolloutErrors]
    """The errors of the runs' models along rollouts, where they were measured."""


class Report(NamedTuple):
    """A report as written."""

    folder: Path
    table: str
    """Final scores, with heading, in Markdown."""
    notes: list[str]
    """Sentences that a reader must know (see `make_notes`)."""


def of_study(study: Study, runs: Path, results: Path) -> Material:
    """The finished runs of a study, from run folders or kept curves, and other methods' runs from CSV files beside the
    kept curves, each file named after its method. Raises UsageError where no run is finished."""
    (records, problems), missing = study_records(study, runs, results)
    if not records:
        problem = f"; {problems[0]}" if problems else ""
        raise UsageError(f"no run of {study.path} is finished{problem}; `mag sweep {study.path}` makes them")
    errors = read_errors(results / study.name)
    material = Material(study.title, records, problems, missing, study.panels, study.curves, study, errors)
    return add_others(material, {path.stem: path for path in sorted((results / study.name).glob("*.csv"))})


def of_runs(paths: Sequence[Path]) -> Material:
    """The runs in run folders and in folders of kept curves (`curves.json`). Raises UsageError if none can be read."""
    kept = {path.resolve(): path for path in paths if (path / CURVES).is_file()}
    records, problems = load_records(path for path in paths if path.resolve() not in kept)
    records += [record for path in kept.values() for record in kept_records(path)]
    if not records:
        raise UsageError(f"no run can be read: {'; '.join(problems)}")
    return Material("Runs", records, problems, [], "env", None, None, [])


def add_others(material: Material, others: dict[str, Path]) -> Material:
    """Add the runs of other methods, from CSV files by method name.

    Raises UsageError for a file that cannot be read or does not fit, and for the name of a method that is there.
    """
    envs = sorted({record.env for record in material.records})
    taken = {name.casefold() for record in material.records for name in (record.algo, name_part("method", record.algo))}
    if own := next((name for name in others if name.casefold() in taken), None):
        raise UsageError(f"{own}, in {others[own]}, is a method of the runs themselves; give the file's another name")
    more = [record for name, path in others.items() for record in read_other(name, path, envs)]
    return material._replace(records=[*material.records, *more])


def without_untrained(material: Material) -> Material:
    """The material without runs that were tested only before their first step, which are named among the problems.

    Runs are compared up to the steps that every one has reached.
    """
    trained = [record for record in material.records if record.env_steps]
    named = [
        f"{record.origin}, seed {record.seed}: left out, as its only test came before the first step"
        for record in material.records
        if not record.env_steps
    ]
    return material._replace(records=trained, problems=[*material.problems, *named])


def check_out(out: Path, keep: Path | None = None) -> None:
    """Raise UsageError where a report would be written into a folder of kept curves, or into `keep`, which may become
    one: its tables would be read as runs of other methods."""
    if (out / CURVES).is_file() or (keep is not None and out.resolve() == keep.resolve()):
        raise UsageError(f"--out is {out}, a folder for kept curves; name another, such as {out / 'report'}")


def write_report(material: Material, out: Path, metric: str | None = None) -> Report:
    """Write all files of a report into a folder, by default about the win rate, or the return where nothing can be won.

    Raises UsageError where no run has the metric.
    """
    material = without_untrained(material)
    table = to_table(material.records, material.panels, material.curves)
    metric = metric or (WIN if table[WIN].notna().any() else "eval/return")
    if metric not in METRICS or not table[metric].notna().any():
        known = [name for name in METRICS if table[name].notna().any()]
        raise UsageError(f"no run has the metric {metric}; allowed are {', '.join(known)}")
    analysis = Analysis(table, metric)
    trained = metric.replace("eval/", "train/")
    training = Analysis(table, trained) if trained != metric and table[trained].notna().any() else None
    tables = make_tables(analysis)
    pictures = figures.all_figures(analysis, training, tables["improvement"][1])
    difference = difference_table(material.errors)
    if not difference.empty:
        heading = "Accumulated error of the models along rollouts, MAMBA's minus MAG's"
        measured = sorted({each.commit for each in material.errors if each.commit})
        heading += f" (runs of {', '.join(measured)})" if measured else ""
        tables["model_errors"] = (heading, difference)
        pictures["model_errors"] = (
            f"{heading}, with bootstrap 95 % interval",
            difference_figure(difference, material.title),
        )
    notes = make_notes(material, analysis)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / CURVES.replace(".json", ".csv"), index=False)
    write_parquet(table, out)
    write_tables(out, tables)
    write_marl_eval(out, material.records, table)
    svgs = write_pictures(out, pictures)
    write_summary(out, material, tables, pictures, svgs, notes)
    heading, scores = tables[FINAL]
    return Report(out, f"{heading}\n\n{export.as_markdown(export.for_people(scores))}", notes)


def make_tables(analysis: Analysis) -> dict[str, tuple[str, pd.DataFrame]]:
    """The tables of a report, by file name, each with its heading."""
    name = figures.NAMES[analysis.metric]
    return {
        "main": (f"{name}, {SCORES[FINAL]}: mean and standard deviation over the seeds", analysis.main_table(FINAL)),
        FINAL: (f"{name}, {SCORES[FINAL]}", analysis.score_table(FINAL)),
        AREA: (f"{name}, {SCORES[AREA]}", analysis.score_table(AREA)),
        REACH: (f"When the {name}, as mean of three tests in a row, is reached: median seed", analysis.reach_table()),
        "overall": (f"{name}, {SCORES[FINAL]}, over environments", analysis.overall_table(FINAL)),
        "improvement": (f"Pairs of methods, by the {SCORES[FINAL]}", analysis.improvement_table(FINAL)),
        ON_EACH: (
            f"Pairs of methods on each environment, by the {SCORES[FINAL]}",
            analysis.improvement_on_each(FINAL),
        ),
        COMMITS: ("Commits of the program that trained the runs", analysis.commit_table()),
    }


def make_notes(material: Material, analysis: Analysis) -> list[str]:
    """Notes for the reader: damaged or missing runs, curves of different options or program commits, and the
    environment steps up to which runs are compared."""
    notes = [*material.problems, *mixed(material.records), *commits(material.records)]
    if material.missing:
        shown = ", ".join(material.missing[:5]) + (", ..." if len(material.missing) > 5 else "")
        count = len(material.missing)
        runs = "1 run of the study is" if count == 1 else f"{count} runs of the study are"
        notes.append(f"{runs} missing: {shown}")
    counts = {len(each) for envs in analysis.scores[FINAL].values() for each in envs.values()}
    if few := sorted(count for count in counts if 1 < count < FEW):
        counted = " or ".join(map(str, few))
        notes.append(f"some curves have {counted} seeds: bootstrap intervals of so few are too narrow")
    budgets = set(analysis.budgets.values())
    each = [f"{env}: {budget}" for env, budget in analysis.budgets.items()]
    steps = str(budgets.pop()) if len(budgets) == 1 else ", ".join(each)
    notes.append(f"environment steps compared, which every run has reached: {steps}")
    return notes


def write_parquet(table: pd.DataFrame, out: Path) -> None:
    """The table as parquet, where pandas has an engine for it."""
    try:
        table.to_parquet(out / "curves.parquet", index=False)
    except ImportError:
        (out / "curves.parquet").unlink(missing_ok=True)


def write_tables(out: Path, tables: dict[str, tuple[str, pd.DataFrame]]) -> None:
    """Write every table as CSV with all digits, and rounded as Markdown and LaTeX."""
    for name, (_, frame) in tables.items():
        if frame.empty:  # an earlier report's may lie here
            for ending in ("csv", "tex"):
                (out / f"{name}.{ending}").unlink(missing_ok=True)
        else:
            frame.to_csv(out / f"{name}.csv", index=False)
            (out / f"{name}.tex").write_text(export.as_latex(export.for_people(frame)))
    (out / "table.md").write_text(markdown(tables))


def markdown(tables: dict[str, tuple[str, pd.DataFrame]]) -> str:
    """All tables with their headings."""
    parts = [
        f"## {page.capital(heading)}\n\n{export.as_markdown(export.for_people(frame))}"
        for heading, frame in tables.values()
        if not frame.empty
    ]
    return "\n".join(parts)


def write_marl_eval(out: Path, records: list[Record], table: pd.DataFrame) -> None:
    """Write the curves for marl-eval and rliable."""
    names = table.drop_duplicates([*KEYS[2:], "run"]).curve.tolist()
    values = export.as_marl_eval(records, names)
    (out / "marl_eval.json").write_text(json.dumps(values) + "\n")


def write_pictures(out: Path, pictures: dict[str, tuple[str, Any]]) -> dict[str, str]:
    """Write every figure as PNG and SVG; returns the SVGs for the page."""
    svgs = {}
    for name, (_, figure) in pictures.items():
        svgs[name] = page.as_svg(figure, name)
        (out / f"{name}.svg").write_text(svgs[name])
        figure.set_layout_engine("none")  # the PNG keeps the layout of the SVG
        figure.savefig(out / f"{name}.png", dpi=150)
    return svgs


def write_summary(
    out: Path,
    material: Material,
    tables: dict[str, tuple[str, pd.DataFrame]],
    pictures: dict[str, tuple[str, Any]],
    svgs: dict[str, str],
    notes: list[str],
) -> None:
    """Write the page, `index.html`."""
    shown = {name: page.figure_html(svgs[name], caption) for name, (caption, _) in pictures.items()}
    sections = [page.Section("Learning curves", shown.pop("curves", ""))]
    for name, (heading, frame) in tables.items():
        body = "" if frame.empty else export.as_html(export.for_people(frame), folded=name in LONG)
        more = shown.pop(name, "")
        sections.append(page.Section(page.capital(heading), body + more))
    sections.append(page.Section("More figures", "".join(shown.values())))
    counts = {
        "run": len(material.records),
        "method": len({record.algo for record in material.records}),
        "environment": len({record.env for record in material.records}),
    }
    runs, methods, envs = (f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items())
    lead = (
        f"{runs}: {methods} on {envs}. IQM: interquartile mean. Intervals: bootstrap, 95 %; "
        "none where a method has a single seed."
    )
    page.write_page(out / "index.html", material.title, [lead, *notes], sections)


def keep(material: Material, out: Path, results: Path) -> Path:
    """Keep a study's finished curves, its table and its figures under `results/<study>`.

    Curves that are kept there already stay, also those that the study no longer asks for, unless they are made anew.
    """
    assert material.study is not None
    folder = results / material.study.name
    own = [record for record in material.records if record.about]
    write_records(folder, united(kept_records(folder), own))
    if material.study.path.resolve() != (folder / "study.toml").resolve():
        shutil.copyfile(material.study.path, folder / "study.toml")
    shutil.copyfile(out / "table.md", folder / "table.md")
    shutil.copyfile(out / "curves.png", folder / "figure.png")
    if not difference_table(material.errors).empty:
        shutil.copyfile(out / "model_errors.png", folder / "errors.png")
    return folder


def measure_errors(study: Study, runs: Path, results: Path) -> list[str]:
    """Measure the models of a study's run folders along rollouts, and keep the errors under `results/<study>`.

    Each run's errors are written at once, for measuring takes minutes. Returns a sentence about each run that cannot be
    measured. Raises UsageError where no run has a folder, or methods have several curves.
    """
    names = {(cell.config.env, cell.config.algo): cell.key for cell in study.cells}
    if several := next((cell for cell in study.cells if cell.key != names[cell.config.env, cell.config.algo]), None):
        raise UsageError(
            f"{study.path} has several curves of {several.config.algo}, and errors compare methods; leave out grid and "
            "variants"
        )
    read, complaints = read_cells(study, runs)
    known = ((cell, read.get(cell.name)) for cell in study.cells)
    found = [record for cell, record in known if record and record.env_steps >= cell.config.steps]
    if not found:
        why = f" ({complaints[0]})" if complaints else ""
        raise UsageError(
            f"{runs} holds no finished run of {study.path}{why}; `mag sweep {study.path} --results none` makes them, "
            "also those whose curves are kept"
        )
    problems = []
    for each in found:
        try:
            measured = measure(each)
        except UsageError as error:
            problems.append(f"the models of {each.origin}, seed {each.seed}, are not measured: {error}")
        else:
            write_errors(results / study.name, [measured])
    return problems
