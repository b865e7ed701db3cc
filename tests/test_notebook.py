"""The notebook: its cells run from the first to the last, in small."""

import importlib
import json
import re
import subprocess
import sys
import types
from pathlib import Path

import jax
import pytest

import mag
from mag.options import flatten
from mag.runs.resolve import resolve
from tests.support.pages import ROOT, blocks

NOTEBOOK = json.loads((ROOT / "docs/notebook.ipynb").read_text())
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
INSTALL, SIZES, TOY, WRITE = "import importlib.util\n", "SIZE = ", "import jax\n", "%%writefile my_planner.py\n"
"""Beginnings of cells."""


def cell(begin):
    """The one cell that begins so."""
    (found,) = (each for each in CELLS if each.startswith(begin))
    return found


def run(source, program):
    """A cell, run as Jupyter runs it."""
    if source.startswith("%%writefile "):
        file, _, text = source.removeprefix("%%writefile ").partition("\n")
        Path(file).write_text(text)
    else:
        exec(compile(source, "notebook.ipynb", "exec"), program)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, in which the notebook lies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_planner", raising=False)
    yield tmp_path
    sys.modules.pop("my_planner", None)


def test_it_has_no_outputs_and_compiles():
    assert all(not cell["outputs"] for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code")
    for source in CELLS:
        compile(re.sub("^%%.*\n", "", source), "notebook.ipynb", "exec")


def test_where_mag_is_missing_it_is_installed_from_the_address_that_is_given(monkeypatch):
    called = []
    monkeypatch.setattr(subprocess, "run", lambda words, check: called.append(words[1:]))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="say above, in REPOSITORY, where it is cloned from"):
        run(cell(INSTALL), {})
    run(cell(INSTALL).replace('REPOSITORY = ""', 'REPOSITORY = "https://example.org/you/mag.git"'), {})
    assert called == [["-m", "pip", "install", "--quiet", "git+https://example.org/you/mag.git"]]


def test_its_planner_is_that_of_the_planners_page(here):
    (page,) = (block for block in blocks(ROOT / "docs/extend/planner.md") if block.file == "my_planner.py")
    assert page.text.removeprefix("# my_planner.py\n").strip() == cell(WRITE).removeprefix(WRITE).strip()


def test_a_planner_chooses_the_best_of_the_toys_predictions(here, capsys):
    program = {"mag": importlib.import_module("mag")}
    run(cell(TOY), program)
    # L = 50 trajectories hold those of smaller L only by chance, but their best is better than one alone.
    best = [float(number) for number in re.findall(r"best return ([-\d.]+)", capsys.readouterr().out)]
    assert best[0] < best[2]
    run(cell(WRITE), program)
    functions = {name: program[name] for name in ("predict", "act", "score")}
    state = program["state"]
    plan = importlib.import_module("my_planner").plan(
        jax.random.key(0), state, -0.1 * state, **functions, num_predictions=8
    )
    assert plan.returns.shape == (8,) and program["score"](plan.state) == plan.returns.max()


@pytest.fixture
def shown(monkeypatch):
    """What the notebook displays."""
    pages = []
    display = types.ModuleType("IPython.display")
    display.HTML, display.display = str, pages.append
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return pages


def test_its_cells_run_with_a_method_that_compiles_in_seconds(here, shown, monkeypatch):
    """All of the notebook but the learning; the options that it gives its methods are those that they take."""
    trained, train = [], mag.train

    def train_in_seconds(run, **given):
        trained.append(resolve(flatten(given)))
        return train(given["env"], "tests.support.fake", size="debug", num_seeds=1, steps=32, run=run)

    monkeypatch.setattr(mag, "train", train_in_seconds)
    program = {"__name__": "notebook"}
    for source in CELLS:
        run(source, program)
    assert [config.algo for config in trained] == ["attention-ppo", "g2a", "mag", "mag"]
    assert trained[-1].planner.kind == "my_planner" and trained[-1].planner.num_predictions == 8
    assert len(shown) == 3 and all("<iframe" in page for page in shown)


@pytest.mark.slow
def test_its_cells_run(here, shown, capsys):
    """MAG learns with the notebook's planner; in the battle it has not yet collected enough to."""
    small = 'SIZE = "debug"\nPROBE_STEPS, BATTLE_STEPS, MODEL_STEPS, PLANNER_STEPS = 32, 32, 32, 130'
    program = {"__name__": "notebook"}
    for source in CELLS:
        run(small if source.startswith(SIZES) else source, program)
    assert len(shown) == 3 and all("<iframe" in page for page in shown)
    assert re.search(r"^trained with a planner of one's own for \[?1\d\d", capsys.readouterr().out, re.M)
    rows = [json.loads(line) for line in (here / "runs/planner/metrics.jsonl").read_text().splitlines()]
    assert any("models/loss" in row for row in rows)
