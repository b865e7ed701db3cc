"""The notebook: its cells run from the first to the last, in small."""

import json
import re
import sys
import types

import pytest

from tests.support.pages import ROOT

NOTEBOOK = json.loads((ROOT / "docs/notebook.ipynb").read_text())
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
SIZES = "SIZE = "


def test_it_has_no_outputs_and_compiles():
    assert all(not cell["outputs"] for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code")
    for cell in CELLS:
        compile(cell, "notebook.ipynb", "exec")
    assert sum(cell.startswith(SIZES) for cell in CELLS) == 1


@pytest.mark.slow
def test_its_cells_run(tmp_path, monkeypatch, capsys):
    """MAG plays, but has not yet collected enough to learn: that is tested elsewhere."""
    shown = []
    display = types.ModuleType("IPython.display")
    display.HTML, display.display = str, shown.append
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.chdir(tmp_path)
    program = {"__name__": "notebook"}
    for cell in CELLS:
        small = 'SIZE = "debug"\nPROBE_STEPS, BATTLE_STEPS, MODEL_STEPS = 32, 32, 32'
        exec(compile(small if cell.startswith(SIZES) else cell, "notebook.ipynb", "exec"), program)
    assert len(shown) == 3 and all("<iframe" in page for page in shown)
    # L = 50 trajectories hold those of smaller L only by chance, but their best is better than one alone.
    best = [float(number) for number in re.findall(r"best return ([-\d.]+)", capsys.readouterr().out)]
    assert best[0] < best[2]
