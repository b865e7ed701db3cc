"""Metrics at Weights & Biases: what the package is given, by a stand-in for it."""

import dataclasses
import json
import sys
from types import SimpleNamespace

import pytest

from mag.errors import UsageError
from mag.runs.config_file import load_config
from mag.runs.folder import RunFolder
from mag.runs.train import train
from mag.runs.wandb_logger import IDS
from tests.support.fake import fake_config


class ServiceError(Exception):
    """The package's own error, `wandb.Error`."""


class Run:
    """One of the service's runs."""

    def __init__(self, options):
        self.options, self.rows, self.metrics, self.finished = options, [], {}, False

    def define_metric(self, name, step_metric=None):
        self.metrics[name] = step_metric

    def log(self, row, step):
        assert step == row["env_steps"]
        self.rows.append(row)

    def finish(self):
        self.finished = True


@pytest.fixture
def wandb(monkeypatch):
    runs = []

    def init(**options):
        runs.append(Run(options))
        return runs[-1]

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Error=ServiceError))
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return runs


def test_each_seed_has_a_run_that_goes_on_when_resumed(tmp_path, wandb):
    config = dataclasses.replace(fake_config(), logger="wandb")
    shorter = dataclasses.replace(config, steps=config.steps // 2)
    train(shorter, tmp_path / "run")
    train(config, tmp_path / "run")
    seeds = config.num_seeds
    first, again = wandb[:seeds], wandb[seeds:]
    assert len({run.options["id"] for run in first}) == seeds == len(again)
    assert [run.options["id"] for run in first] == [run.options["id"] for run in again]
    assert json.loads((tmp_path / "run" / IDS).read_text()) == {
        str(config.seed + index): run.options["id"] for index, run in enumerate(first)
    }
    for run in wandb:
        assert run.finished and run.options["resume"] == "allow" and run.options["project"] == "mag"
        assert run.options["group"] == "run" and run.metrics == {"env_steps": None, "*": "env_steps"}
    # All that metrics.jsonl has of a seed, but where there is no value.
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    told = [
        {k: v for k, v in row.items() if v is not None and k != "seed"} for row in rows if row["seed"] == config.seed
    ]
    told_again = first[0].rows + again[0].rows
    assert {row["env_steps"] for row in told} <= {row["env_steps"] for row in told_again}
    assert told_again[-1] == told[-1]


def test_a_service_that_refuses_the_run_is_told_before_anything_is_trained(tmp_path, wandb, monkeypatch):
    def init(**options):
        raise ServiceError("No API key configured")

    with (
        monkeypatch.context() as refused,
        pytest.raises(UsageError, match=r"cannot be used \(No API key configured\); call `wandb login`"),
    ):
        refused.setattr(sys.modules["wandb"], "init", init)
        train(dataclasses.replace(fake_config(), logger="wandb"), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()
    # After `wandb login` the same command trains.
    (tmp_path / "run" / "wandb").mkdir(exist_ok=True)  # the package's own files
    assert train(dataclasses.replace(fake_config(), logger="wandb"), tmp_path / "run")["env_steps"]


def test_training_goes_on_where_the_service_fails(tmp_path, wandb, monkeypatch, capsys):
    def log(self, row, step):
        raise ServiceError("the service is gone")

    monkeypatch.setattr(Run, "log", log)
    config = dataclasses.replace(fake_config(), logger="wandb")
    assert train(config, tmp_path / "run")["env_steps"]
    assert capsys.readouterr().out.count("is told no more (the service is gone); metrics.jsonl goes on") == 1
    assert all(run.finished for run in wandb)


def test_a_missing_package_is_told_and_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match=r"needs the package wandb; install it with .*\[wandb\]"):
        train(dataclasses.replace(fake_config(), logger="wandb"), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_run_of_before_the_option_is_read_and_may_change_it(tmp_path, wandb):
    config = fake_config()
    train(dataclasses.replace(config, steps=config.steps // 2), tmp_path / "run")
    file = tmp_path / "run" / "config.json"
    about = json.loads(file.read_text())
    del about["config"]["logger"]
    file.write_text(json.dumps(about))
    assert load_config(RunFolder(tmp_path / "run")).logger == "files"
    train(dataclasses.replace(config, logger="wandb"), tmp_path / "run")
    assert wandb and wandb[0].rows
