"""Pages made from `results/`: a page for each study, the lab book, and scores by method."""

import csv
import re
import statistics
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from tables import table

from mag.experiments.analysis import FINAL, Analysis
from mag.experiments.export import for_people
from mag.experiments.kept import kept_records
from mag.experiments.records import Record
from mag.experiments.table import METHOD_NAMES, to_table

RESULTS = Path(__file__).resolve().parents[2] / "results"


def found() -> dict[str, dict[str, Any]]:
    """The study files by study."""
    return {path.parent.name: tomllib.loads(path.read_text()) for path in sorted(RESULTS.glob("*/study.toml"))}


def lab_book() -> dict[str, Path]:
    """The lab book's pages by their place on the site, newest first."""
    return {f"results/lab-book/{path.name}": path for path in sorted(RESULTS.glob("lab-book/*.md"), reverse=True)}


def navigation() -> list[Any]:
    """What the navigation lists of the results."""
    names = found()
    return [
        *({names[name].get("title", name): f"results/{name}.md"} for name in names),
        {"Lab book": [{heading(path): place} for place, path in lab_book().items()]},
    ]


def pages() -> dict[str, str]:
    """The content of every page by its place on the site."""
    book = {place: path.read_text() for place, path in lab_book().items()}
    return {f"results/{name}.md": study_page(name, study) for name, study in found().items()} | book


def pictures() -> dict[str, Path]:
    """The figures by their place on the site."""
    figures = {f"results/{path.parent.name}.png": path for path in sorted(RESULTS.glob("*/figure.png"))}
    return figures | {f"results/{path.parent.name}-errors.png": path for path in sorted(RESULTS.glob("*/errors.png"))}


def study_page(name: str, study: dict[str, Any]) -> str:
    """A study: what was run, its figure, its tables, its file."""
    file = (RESULTS / name / "study.toml").read_text().rstrip()
    note = " ".join(line[1:].strip() for line in file.splitlines() if line.startswith("#"))
    parts = [
        f"# {study.get('title', name)}",
        note,
        f"```text\nmag sweep results/{name}/study.toml     makes the runs that are not kept\n"
        f"mag report results/{name}/study.toml    writes table, statistics and figures\n```",
        f"![Learning curves: {study.get('title', name)}]({name}.png)\n\nLines are means over the seeds, bands standard "
        "deviations; those of win rates are clipped to [0, 1]."
        if f"results/{name}.png" in pictures()
        else "",
        (RESULTS / name / "table.md").read_text(),
        "## The study\n\n```toml\n" + file + "\n```",
    ]
    return "\n\n".join(part for part in parts if part)


def studies() -> str:
    """A table of all studies."""
    rows = (
        [
            f"[{study.get('title', name)}](../../results/{name}/table.md)",
            ", ".join(f"`{env}`" for env in study["envs"]),
            ", ".join(METHOD_NAMES.get(method, method) for method in study["methods"]),
            VERSION_OF[name],
            seeds_run(name, study),
        ]
        for name, study in found().items()
    )
    return table(("study", "environments", "methods", "version", "seeds run, of those asked for"), rows)


def seeds_run(name: str, study: dict[str, Any]) -> str:
    """The numbers of seeds that a study's curves have, and the number that it asks for."""
    asked = study["seeds"] if isinstance(study["seeds"], int) else len(study["seeds"])
    run = sorted({int(row["seeds"]) for row in table_of_curves(RESULTS / name / "table.md")})
    return f"{' to '.join(str(number) for number in dict.fromkeys((run[0], run[-1])))} of {asked}"


VERSION_OF = {  # newest first, but for Fig. 2
    "kl-weight": "F",
    "rollouts": "F",
    "planning": "E",
    "planners": "E",
    "ends": "D",
    "lab-book/2026-11-30-planning": "D",
    "figure2": "C to E",
    "figure3": "C",
    "figure4": "C",
    "figure5": "C",
    "lab-book/2026-11-29-planning": "C",
    "easy-150k": "A",
    "easy-100k": "A",
    "easy-50k": "A",
    "smax-3s_vs_3z": "A",
    "smax-2s3z-baselines": "A",
}
"""The versions of the program (glossary) that made the runs of a study or folder."""
TODAYS = {"kl-weight": ", kl weight 8"}
"""How a study names, after the method, the curve whose options are the recipe's."""


def scores(algo: str) -> str:
    """A method's scores, mean of the last three tests: Fig. 2 first, then the newest version, and no runs twice."""
    columns = ("seeds", "mean", "IQM", "by seed")
    rows: dict[tuple[str, ...], list[str]] = {}
    studies, order = found(), list(VERSION_OF)
    for name in sorted(studies, key=lambda name: (name != "figure2", order.index(name))):
        for row in table_of_curves(RESULTS / name / "table.md"):
            if row["curve"] == METHOD_NAMES[algo] + TODAYS.get(name, ""):
                runs = (row["env"], steps(studies[name], row["env"]), VERSION_OF[name])
                cells = [f"[{name}](../../results/{name}/table.md)", f"`{runs[0]}`", *runs[1:]]
                rows.setdefault(runs, [*cells, *(row[each] for each in columns)])
    head = ("study", "environment", "steps", "version", "seeds", "mean", "interquartile mean (95 %)", "by seed")
    return table(head, rows.values()) if rows else "No study of it is kept yet."


def steps(study: dict[str, Any], env: str) -> str:
    """A study's environment steps on an environment."""
    given = study["steps"]
    number = given.get(env, given.get("default")) if isinstance(given, dict) else given
    return spaced(number)


PLANNING = ("lab-book/2026-11-29-planning", "lab-book/2026-11-30-planning", "planning", "kl-weight")
"""Folders of the runs that ask whether planning pays, one for each version of the program, oldest first."""
WIN_RATE = "eval/win_rate"


def planning(which: str = "all") -> str:
    """MAG against MAMBA after 40 000 steps: by map and version of the program, and over a map's versions; of the
    `newest` version alone, if it has runs of both methods."""
    found = {VERSION_OF[folder]: runs_of_version(folder) for folder in PLANNING}
    rows = []
    for env in dict.fromkeys(record.env for record in found[VERSION_OF["planning"]]):
        there = {version: [record for record in runs if record.env == env] for version, runs in found.items()}
        there = {version: runs for version, runs in there.items() if all(seeds_of(runs))}
        if which == "newest":
            rows.append(planning_row(env, *list(there.items())[-1]))
            continue
        rows += [planning_row(env, version, runs) for version, runs in there.items()]
        # A version with more runs of one method would count more for that method.
        even = {version: runs for version, runs in there.items() if len(set(seeds_of(runs))) == 1}
        if len(even) > 1:
            rows.append(planning_row(env, ", ".join(even), [record for runs in even.values() for record in runs]))
    head = ("map", "version", "runs", "MAG", "MAMBA", "difference (95 %)", "p", "minutes of a run")
    return table(head, rows)


def seeds_of(runs: list[Record]) -> list[int]:
    """The numbers of runs of MAG, and of MAMBA."""
    return [sum(record.algo == algo for record in runs) for algo in ("mag", "mamba")]


def runs_of_version(folder: str) -> list[Record]:
    """The runs of a version's folder; `kl-weight` also holds those of `planning`, with the weight 1, left out here."""
    return [each for each in kept_records(RESULTS / folder) if each.options.get("models.kl_weight") != 1]


def planning_row(env: str, version: str, runs: list[Record]) -> list[str]:
    """A row of `planning`; minutes are medians over the runs of MAG, and of MAMBA."""
    analysis = Analysis(to_table(runs, curves=("method",)), WIN_RATE)
    scores = [analysis.scores[FINAL][method][env] for method in MODEL_BASED]
    found = for_people(pd.DataFrame([analysis.compared(MODEL_BASED, [env], FINAL)])).iloc[0]
    counts = " and ".join(dict.fromkeys(str(len(each)) for each in scores))
    minutes = (
        statistics.median(each.about["wall_seconds"] / 60 for each in runs if each.algo == algo)
        for algo in ("mag", "mamba")
    )
    cells = [env.removeprefix("smac_jax/"), version, f"{counts} each" if len(set(map(len, scores))) == 1 else counts]
    cells += [f"{each.mean():.2f}" for each in scores]
    return [*cells, found["difference"], found["p"], " and ".join(f"{each:.1f}" for each in minutes)]


MODEL_BASED = ("MAG", "MAMBA")
PUBLISHED = RESULTS / "published.csv"


def win_rates() -> str:
    """Fig. 2 as a table: MAG, MAMBA and the best model-free method on each map, with their numbers of seeds."""
    rows = []
    for name, scores in figure2().items():
        own = ("not run" if method not in scores else rate_and_median(scores[method]) for method in MODEL_BASED)
        best = max((score for method, score in scores.items() if method not in MODEL_BASED), key=mean)
        rows.append([name, *own, f"{best['curve']} {rate(best)}" if mean(best) else rate(best)])
    return table(("map", *MODEL_BASED, "best model-free method"), rows)


def beside_published() -> str:
    """Win rates in percent that others publish of StarCraft II, beside those of Fig. 2."""
    with PUBLISHED.open() as file:
        published = list(csv.DictReader(line for line in file if not line.startswith("#")))
    ours = figure2()
    methods = [name for name in published[0] if name not in ("map", "steps")]
    rows = (
        [
            *(row["map"], spaced(int(row["steps"])), *map(row.get, methods)),
            *(percent(ours[row["map"]].get(method)) for method in MODEL_BASED),
        ]
        for row in published
    )
    head = ("map", "steps", *(f"StarCraft II: {name}" for name in methods), *(f"`smac_jax`: {x}" for x in MODEL_BASED))
    return table(head, rows)


def figure2() -> dict[str, dict[str, dict[str, str]]]:
    """The rows of Fig. 2's table by map and method."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for row in table_of_curves(RESULTS / "figure2/table.md"):
        found.setdefault(row["env"].removeprefix("smac_jax/"), {})[row["curve"]] = row
    return found


def mean(score: dict[str, str]) -> float:
    """The mean of a row as a number."""
    return float(score["mean"])


def rate(score: dict[str, str]) -> str:
    """The mean of a row and, in brackets, its number of seeds."""
    return f"{score['mean']} ({score['seeds']})"


def rate_and_median(score: dict[str, str]) -> str:
    """Mean, seeds and, from three seeds on, median of a row: one seed that fails moves the mean by far."""
    seeds = [float(each) for each in score["by seed"].split()]
    return rate(score) if len(seeds) < 3 else rate(score)[:-1] + f"; median {statistics.median(seeds):.2f})"


def percent(score: dict[str, str] | None) -> str:
    """A row's mean in percent and its number of seeds."""
    if score is None:
        return "not run"
    return f"{100 * mean(score):.0f} ({score['seeds']} {'seed' if score['seeds'] == '1' else 'seeds'})"


def spaced(number: int) -> str:
    """A number with a space between thousands."""
    return f"{number:,}".replace(",", " ")


def table_of_curves(path: Path) -> Iterator[dict[str, str]]:
    """The rows, by column, of the first table in a Markdown file that has a row for each curve."""
    for part in path.read_text().split("\n## "):
        lines = [line for line in part.splitlines() if line.startswith("|")]
        head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines] or [[], []]
        if "curve" in head:
            return (dict(zip(head, row, strict=True)) for row in rows)
    return iter(())


def heading(path: Path) -> str:
    """The first heading of a page."""
    return path.read_text().splitlines()[0].lstrip("# ")


def relink(markdown: str, place: str) -> str:
    """Links to studies, lab book and source as they hold in the repository, led to the site's pages and pictures."""
    root, up = r"\]\((?:\.\./)+", "../" * place.count("/")
    markdown = re.sub(rf"{root}results/([\w-]+)/figure\.png\)", rf"]({up}results/\1.png)", markdown)
    markdown = re.sub(rf"{root}results/([\w-]+)/errors\.png\)", rf"]({up}results/\1-errors.png)", markdown)
    markdown = re.sub(rf"{root}results/([\w-]+)/table\.md\)", rf"]({up}results/\1.md)", markdown)
    markdown = re.sub(rf"{root}(results/lab-book/[\w.-]+\.md(?:#[\w-]+)?)\)", rf"]({up}\1)", markdown)
    return re.sub(rf"{root}(mag/[\w/]+)\.py#([\w.]+)\)", lambda to: f"][{to[1].replace('/', '.')}.{to[2]}]", markdown)
