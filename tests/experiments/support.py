"""A small study and its runs, for the tests of this room."""

import dataclasses
import json
import sys
from pathlib import Path

from mag.experiments.study import load_study

STUDY = """title = "Two methods"
envs = ["probe/two-step", "probe/relay"]
methods = ["mamba", "commnet"]
seeds = 2
steps = 500
size = "debug"
recipe = "tuned"
"""


def write_study(folder, text=STUDY, name="small.toml"):
    """The study in a file of `folder`, and beside it the configurations that the fake training writes."""
    path = folder / name
    path.write_text(text)
    study = load_study(path)
    configs = {f"{cell.config.env} {cell.config.algo}": dataclasses.asdict(cell.config) for cell in study.cells}
    file = folder / "configs.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | configs))
    return study


def fake_program(folder):
    """The command in place of `mag`, for the studies of `folder`, with the latest one's configurations."""
    return (sys.executable, str(Path(__file__).with_name("fake_train.py")), str(folder / "configs.json"))
