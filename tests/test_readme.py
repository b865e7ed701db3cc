"""The README's worked example runs as printed, and its tables name what exists."""

import importlib
import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_planner_example_runs(capsys):
    example = next(code for code in re.findall(r"```python\n(.*?)```", README, re.S) if "mag.plan(" in code)
    exec(compile(example, "README.md", "exec"), {})
    state, returns = capsys.readouterr().out.strip().splitlines()
    assert len(state.strip("[]").split()) == 2
    assert len(returns.strip("[]").split()) == 5


@pytest.mark.parametrize(("file", "name"), re.findall(r"`(mag/[a-z_/]+)\.py: ([A-Za-z_.]+)`", README))
def test_the_code_it_points_to_exists(file, name):
    found = importlib.import_module(file.replace("/", "."))
    for part in name.split("."):
        found = getattr(found, part)
