"""Sweeps on a Ray cluster: nodes of several processes on this machine, some of them killed."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mag import cli
from mag.experiments import jobs, ray_pool
from mag.experiments.jobs import Processes
from mag.experiments.report import of_study
from mag.experiments.sweep import sweep
from mag.experiments.table import to_table
from mag.options import to_json
from tests.experiments.support import STUDY, fake_program, write_study
from tests.experiments.test_sweep import wait_for

try:
    import ray
    from ray.cluster_utils import Cluster
except ImportError:
    ray = None

needs_ray = [
    pytest.mark.slow,
    pytest.mark.skipif(ray is None, reason="Ray is not installed: pip install 'models-as-agents[sweep]'"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]


def table_of(study, runs):
    """The table of a study's finished runs."""
    material = of_study(study, runs, runs / "none")
    assert material.missing == []
    return to_table(material.records).drop(columns="run")


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    study = write_study(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        cli.main(["sweep", str(study.path), "--ray", "auto"])
    assert exit_.value.code == 2 and "pip install 'models-as-agents[sweep]'" in capsys.readouterr().err


def test_a_folder_comes_back_as_it_was_sent(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "a").write_bytes(b"1")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "old").write_text("old")
    ray_pool.unpack(ray_pool.packed(tmp_path / "run"), tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").rglob("*")] == ["checkpoints", "a"]
    ray_pool.unpack(ray_pool.packed(tmp_path / "nowhere"), tmp_path / "other")
    assert (tmp_path / "other" / "checkpoints" / "a").read_bytes() == b"1"


def test_the_folder_that_came_further_is_gone_on_with(tmp_path):
    for name, steps in (("sent", 20), ("there", 30)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text(f'{{"env_steps": {steps}}}\n')
    ray_pool.adopt(ray_pool.packed(tmp_path / "sent"), tmp_path / "there")
    assert jobs.glance(tmp_path / "there").env_steps == 30
    ray_pool.adopt(ray_pool.packed(tmp_path / "there"), tmp_path / "sent")
    assert jobs.glance(tmp_path / "sent").env_steps == 30


def test_a_kill_while_a_folder_is_replaced_costs_nothing(tmp_path, monkeypatch):
    for name in ("sent", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    sent, rename = ray_pool.packed(tmp_path / "sent"), Path.rename

    def killed(self, target):
        if self.name == ".there.incoming":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        ray_pool.unpack(sent, tmp_path / "there")
    monkeypatch.undo()
    assert ray_pool.packed(tmp_path / "there") and (tmp_path / "there" / "there").exists()
    ray_pool.unpack(sent, tmp_path / "there")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sent", "there"]


class NoRay:
    """What a run on a node asks of Ray, without a cluster."""

    exceptions = SimpleNamespace(RayError=RuntimeError)

    @staticmethod
    def get_runtime_context():
        return SimpleNamespace(get_assigned_resources=dict, get_node_id=lambda: "node")

    @staticmethod
    def get(answer, timeout):
        return answer


def test_a_finished_run_stays_on_its_node_until_the_sweep_has_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", NoRay)
    monkeypatch.setenv("MAG_SCRATCH", str(tmp_path / "scratch"))
    cell = write_study(tmp_path).cells[0]
    stop = SimpleNamespace(asked=SimpleNamespace(remote=lambda: False))
    words = cell.command(tmp_path / "runs" / cell.name)

    def train():
        return ray_pool.train_here("runs", cell.name, words, b"", to_json(cell.config), fake_program(tmp_path), stop)

    trained = train()
    assert (trained.code, trained.node) == (0, "node")
    ray_pool.unpack(train().folder, tmp_path / "again")  # as the next sweep, if the first never got the folder
    assert jobs.is_finished(tmp_path / "again", 500)
    assert any((tmp_path / "scratch" / "runs").iterdir())
    ray_pool.forget_here("runs", cell.name)
    assert not any((tmp_path / "scratch" / "runs").iterdir())


def test_a_run_of_other_options_that_a_node_still_has_is_not_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", NoRay)
    monkeypatch.setenv("MAG_SCRATCH", str(tmp_path / "scratch"))
    stop = SimpleNamespace(asked=SimpleNamespace(remote=lambda: False))

    def collected(text):
        cell = write_study(tmp_path, text).cells[0]
        words, config = cell.command(tmp_path / "runs" / cell.name), to_json(cell.config)
        trained = ray_pool.train_here("runs", cell.name, words, b"", config, fake_program(tmp_path), stop)
        ray_pool.unpack(trained.folder, tmp_path / "got")
        return json.loads((tmp_path / "got" / "config.json").read_text())["config"]["collect"]["steps"]

    assert collected(STUDY + "[options]\ncollect.steps = 5\n") == 5
    assert collected(STUDY + "[options]\ncollect.steps = 6\n") == 6


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A head that trains nothing and three nodes of one CPU each."""
    monkeypatch.setattr(jobs, "PROGRAM", fake_program(tmp_path))
    monkeypatch.setenv("MAG_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("RAY_health_check_period_ms", "500")
    monkeypatch.setenv("RAY_health_check_failure_threshold", "3")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [made.add_node(num_cpus=1.0) for _ in range(3)]
    yield made, nodes
    ray.shutdown()
    made.shutdown()


def workers():
    """Processes of Ray that train a run now."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            title = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::") and b"-seed" in title:
            found.append(int(place.name))
    return found


@pytest.fixture
def local(tmp_path, monkeypatch):
    """The study, and its table when trained on this machine."""
    study = write_study(tmp_path)
    monkeypatch.setattr(jobs, "PROGRAM", fake_program(tmp_path))
    assert sweep(study, tmp_path / "local", tmp_path / "none", Processes(2)) == 0
    return study, table_of(study, tmp_path / "local")


@pytest.mark.parametrize("victim", ["worker", "node"])
def test_no_run_is_lost_when_one_is_killed_and_results_are_those_of_this_machine(
    local, cluster, tmp_path, monkeypatch, victim
):
    study, expected = local
    made, nodes = cluster
    monkeypatch.setenv("MAG_FAKE", "pause=0.5")

    def kill():
        wait_for(workers)
        if victim == "worker":
            os.kill(workers()[0], signal.SIGKILL)
        else:
            made.remove_node(nodes[0], allow_graceful=False)

    thread = threading.Thread(target=kill)
    pool = ray_pool.RayJobs(made.address, cpus=1.0)
    thread.start()
    assert sweep(study, tmp_path / "cluster", tmp_path / "none", pool) == 0
    thread.join()
    assert table_of(study, tmp_path / "cluster").equals(expected)
    assert victim == "node" or not list(tmp_path.glob("scratch/*/*"))


def test_stopped_runs_are_saved_and_collected(local, cluster, tmp_path, monkeypatch):
    study, expected = local
    monkeypatch.setenv("MAG_FAKE", "pause=0.5")
    runs = tmp_path / "cluster"

    def interrupt():
        wait_for(workers)
        time.sleep(1.5)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    pool = ray_pool.RayJobs(cluster[0].address, cpus=1.0)
    thread.start()
    assert sweep(study, runs, tmp_path / "none", pool) == 130
    thread.join()
    assert any(jobs.glance(path.parent).env_steps > 0 for path in runs.glob("*/metrics.jsonl"))
    monkeypatch.setenv("MAG_FAKE", "")
    assert sweep(study, runs, tmp_path / "none", Processes(2)) == 0
    assert table_of(study, runs).equals(expected)


for _test in (
    test_no_run_is_lost_when_one_is_killed_and_results_are_those_of_this_machine,
    test_stopped_runs_are_saved_and_collected,
):
    for _mark in needs_ray:
        _mark(_test)
