"""Sweeps on a Ray cluster: nodes of several processes on this machine, some of them killed."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from mag import cli
from mag.experiments import jobs, ray_pool
from mag.experiments.jobs import Processes
from mag.experiments.report import of_study
from mag.experiments.sweep import sweep
from mag.experiments.table import to_table
from tests.experiments.support import fake_program, write_study
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
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
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
