"""Tables of a report as Markdown, LaTeX and HTML, and curves in the format of marl-eval."""

import html
from typing import Any

import numpy as np
import pandas as pd

from mag.experiments.records import Record
from mag.experiments.statistics import final

Cells = list[list[str]]


def number(value: Any) -> str:
    """A value as text: two decimals, four if it is below 0.005, none from 1000 on, empty if it is unknown."""
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        value = 0.0 if abs(value) < 5e-5 else value  # what rounds to zero has no sign and no further zeros
        decimals = 4 if 0 < abs(value) < 0.005 else 0 if abs(value) >= 1000 else 2
        return f"{value:.{decimals}f}"
    return str(value)


def for_people(frame: pd.DataFrame) -> pd.DataFrame:
    """The table as texts, each interval in its value's column: `0.64 (0.52 to 0.77)`."""
    shown = pd.DataFrame(index=frame.index)
    for name in frame.columns:
        if str(name).endswith((" low", " high")):
            continue
        texts = [number(value) for value in frame[name]]
        if f"{name} low" in frame:
            ends = zip(frame[f"{name} low"], frame[f"{name} high"], strict=True)
            texts = [
                f"{text} ({number(low)} to {number(high)})" if number(low) else text
                for text, (low, high) in zip(texts, ends, strict=True)
            ]
        shown[str(name)] = texts
    return shown


def grid(frame: pd.DataFrame) -> tuple[list[str], Cells]:
    """Header and rows as texts."""
    return [str(name) for name in frame.columns], [[str(value) for value in row] for row in frame.to_numpy()]


def as_markdown(frame: pd.DataFrame) -> str:
    """The table in Markdown."""
    header, rows = grid(frame)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines) + "\n"


def as_latex(frame: pd.DataFrame) -> str:
    """The table as a LaTeX `tabular` with the rules of booktabs."""
    header, rows = grid(frame)
    body = [" & ".join(escape_latex(cell) for cell in row) + r" \\" for row in rows]
    first = " & ".join(escape_latex(cell) for cell in header) + r" \\"
    columns = "l" * len(header)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            first,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    """A text with LaTeX's special characters escaped."""
    special = {character: rf"\{character}" for character in "&%$#_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {"±": r"$\pm$", "<": r"\textless{}", ">": r"\textgreater{}"}
    return "".join(special.get(character, character) for character in text)


def as_html(frame: pd.DataFrame, *, folded: bool = False) -> str:
    """The table in HTML; if `folded`, closed until the reader opens it."""
    header, rows = grid(frame)
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    table = f"<div class='wide'><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>\n"
    return f"<details><summary>{len(rows)} rows</summary>\n{table}</details>\n" if folded else table


def as_marl_eval(records: list[Record], curves: list[str]) -> dict[str, Any]:
    """The curves in marl-eval's JSON: environment, task, algorithm, seed, step; `curves` names each record's curve."""
    found: dict[str, Any] = {}
    for record, curve in zip(records, curves, strict=True):
        family, _, task = record.env.partition("/")
        runs = found.setdefault(family, {}).setdefault(task or family, {}).setdefault(curve, {})
        runs[f"seed_{record.seed}"] = marl_eval_run(record)
    return found


def marl_eval_run(record: Record) -> dict[str, Any]:
    """One run: `step_i` for each test, and as `absolute_metrics` the mean of the last three, for the best test of many
    is a lucky one."""
    metrics = {
        name.partition("/")[2]: values
        for name, values in record.curve.items()
        if name in ("eval/win_rate", "eval/return") and None not in values
    }
    steps = {
        f"step_{index}": {"step_count": count, **{name: [values[index]] for name, values in metrics.items()}}
        for index, count in enumerate(record.curve["env_steps"])
    }
    last = {name: [final(np.asarray(values))] for name, values in metrics.items()}
    return {**steps, "absolute_metrics": last}
