"""The files of `examples/` run as they stand, and do what they say."""

import re
import runpy
import sys
from pathlib import Path

import pytest

from mag import cli

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs an example in an empty folder and returns the last lines that it prints."""
    monkeypatch.chdir(tmp_path)

    def run_example(name):
        monkeypatch.delitem(sys.modules, f"examples.{name}", raising=False)  # other tests import it, too
        runpy.run_module(f"examples.{name}", run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run_example


def number_in(line):
    """The first number in a line."""
    return float(re.search(r"-?\d+(\.\d+)?", line)[0])


def test_the_planner_lowers_the_error_of_ones_own_model(run):
    sampled, planned = run("planner_in_your_model")
    assert sampled.startswith("sampled predictions: error") and planned.startswith("planned predictions: error")
    assert number_in(planned) < 0.2 * number_in(sampled)


@pytest.mark.slow
def test_mag_trains_with_ones_own_planner(run, tmp_path):
    assert run("your_planner")[-1] == "trained for 300 steps with a planner of one's own"
    config = (tmp_path / "runs" / "your-planner" / "config.json").read_text()
    assert '"examples.your_planner"' in config and '"num_predictions": 8' in config


@pytest.mark.slow
def test_ones_own_world_model_learns_a_probe_in_mag(run):
    *_, first, last = (line for line in run("your_world_model") if line.startswith(("env_steps 0/", "return")))
    untrained = number_in(first.partition("eval/return")[2])
    # The probe's best return is 1; the first test's policy plays safe, for 0.5.
    assert (untrained, number_in(last)) == (0.5, 1)


def test_a_method_trains_in_ones_own_environment(run):
    assert re.fullmatch(r"trained for 3\d\d steps in an environment of one's own", run("your_environment")[-1])


def test_ones_own_method_learns_a_probe(run):
    assert number_in(run("your_method")[-1]) == pytest.approx(1, abs=0.05)


def test_a_policy_trained_and_loaded_from_python_acts(run):
    last = run("train_and_act")[-1]
    assert last.startswith("mean return of 10 episodes: ")
    assert number_in(last.partition(":")[2]) == 1


def test_the_sweep_makes_a_run_of_each_curve_and_seed(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli.main(["sweep", str(EXAMPLES / "sweep.toml"), "--dry-run"])
    commands = capsys.readouterr().out.splitlines()
    # Two curves of MAG, one for each horizon, and one of each other method; two seeds.
    assert len(commands) == 2 * (2 + 1 + 1)
    assert sum("--planner.horizon 6" in command for command in commands) == 2


def test_its_readme_names_every_example():
    listed = re.findall(r"^\| `([a-z_.]+)`", (EXAMPLES / "README.md").read_text(), re.M)
    assert sorted(listed) == sorted(
        path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".toml") and path.stem != "__init__"
    )
