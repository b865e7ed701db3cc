"""Sweeps: which runs are trained, skipped or resumed, and the output and files when a run fails."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from mag import cli
from mag.experiments import jobs
from mag.experiments.jobs import Processes, is_finished
from mag.experiments.report import of_study
from mag.experiments.sweep import plan_jobs, sweep
from mag.experiments.table import to_table
from tests.experiments.support import STUDY, fake_program, write_study


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """Training takes milliseconds, and its end is seen at once."""
    monkeypatch.setattr(jobs, "PROGRAM", fake_program(tmp_path))
    monkeypatch.setattr("mag.experiments.sweep.PAUSE", 0.02)


def curves(study, runs, results):
    """The table of a study's finished runs, without the column `run`."""
    material = of_study(study, runs, results)
    return to_table(material.records, material.panels, material.curves).drop(columns="run"), material


def test_all_runs_are_made_and_none_twice(tmp_path, capsys):
    study = write_study(tmp_path)
    assert sweep(study, tmp_path / "runs", tmp_path / "results", Processes(2)) == 0
    assert (
        "finished probe_relay-commnet-debug-tuned-seed1: win rate 0.5, return 10 at 500 env steps"
        in capsys.readouterr().out
    )
    configs = [json.loads(path.read_text())["config"] for path in (tmp_path / "runs").glob("*/config.json")]
    assert len(configs) == 8 and {config["seed"] for config in configs} == {0, 1}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("config.json")}
    assert sweep(study, tmp_path / "runs", tmp_path / "results", Processes(2)) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("config.json")}
    assert "started" not in capsys.readouterr().out


def test_a_run_that_fails_is_named_in_the_last_line_and_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MAG_FAKE", "fail=commnet")
    study = write_study(tmp_path)
    assert sweep(study, tmp_path / "runs", tmp_path / "results", Processes(1)) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(
        "mag: 4 of 8 runs failed: probe_two-step-commnet-debug-tuned-seed0 (commnet cannot be trained today;"
    )
    assert len([cell for cell in study.cells if is_finished(tmp_path / "runs" / cell.name, 500)]) == 4


def test_no_run_goes_on_where_the_sweep_cannot_tell_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MAG_FAKE", "pause=0.2")
    study, pool = write_study(tmp_path), Processes(1)
    said = []

    def say(self, text):
        said.append(text)
        if len(said) == 2:
            raise OSError("no space left")

    monkeypatch.setattr("mag.experiments.display.Display.say", say)
    with pytest.raises(OSError, match="no space left"):
        sweep(study, tmp_path / "runs", tmp_path / "results", pool)
    wait_for(lambda: not pool.running() or pool.ended())


def test_a_killed_run_is_named_and_resumed_by_the_same_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MAG_FAKE", f"die={tmp_path / 'died'}")
    study = write_study(tmp_path)
    assert sweep(study, tmp_path / "runs", tmp_path / "results", Processes(1)) == 1
    assert "1 of 8 runs failed: probe_two-step-mamba-debug-tuned-seed0 (ended by SIGKILL" in capsys.readouterr().err
    assert sweep(study, tmp_path / "runs", tmp_path / "results", Processes(1)) == 0
    # Tests at 0, 100, ..., 500 steps; those at 0, 100 and 200 were written before the kill.
    assert "started probe_two-step-mamba-debug-tuned-seed0 from 200 env steps on" in capsys.readouterr().out


def test_seeds_together_are_one_process_with_a_seed_range(tmp_path):
    study = write_study(tmp_path, STUDY.replace("seeds = 2", "seeds = [0, 1, 2, 5]"))
    planned = plan_jobs(study, tmp_path, set(), seeds_together=True)
    assert [job.name for job in planned[:2]] == [
        "probe_two-step-mamba-debug-tuned-seeds0-2",
        "probe_two-step-mamba-debug-tuned-seed5",
    ]
    assert planned[0].words[9:13] == ["--seed", "0", "--num-seeds", "3"]
    kept = {"probe_two-step-mamba-debug-tuned-seed1"}
    planned = plan_jobs(study, tmp_path, kept, seeds_together=True)
    assert [len(job.cells) for job in planned[:3]] == [1, 1, 1]  # 0, 2 and 5


def test_seeds_together_give_the_table_of_seeds_apart(tmp_path):
    study, results = write_study(tmp_path), tmp_path / "results"
    assert sweep(study, tmp_path / "apart", results, Processes(2)) == 0
    assert sweep(study, tmp_path / "together", results, Processes(2), seeds_together=True) == 0
    apart, together = (curves(study, tmp_path / name, results) for name in ("apart", "together"))
    assert len(list((tmp_path / "together").glob("*/config.json"))) == 4
    assert apart[0].equals(together[0]) and not together[1].missing
    # Finished seeds are not trained again, and a folder that has come less far does not hide theirs.
    assert plan_jobs(study, tmp_path / "apart", set(), seeds_together=True) == []
    name = "probe_two-step-mamba-debug-tuned-seeds0-1"
    shutil.copytree(tmp_path / "together" / name, tmp_path / "apart" / name)
    metrics = tmp_path / "apart" / name / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:4]))
    beside = curves(study, tmp_path / "apart", results)
    assert apart[0].equals(beside[0]) and not beside[1].missing


def test_finished_seeds_are_not_trained_again_beside_others_or_alone(tmp_path):
    study, runs = write_study(tmp_path, STUDY.replace(', "commnet"', "")), tmp_path / "runs"
    assert sweep(study, runs, tmp_path / "none", Processes(2), seeds_together=True) == 0
    assert plan_jobs(study, runs, set(), seeds_together=True) == []
    assert plan_jobs(study, runs, set(), seeds_together=False) == []
    more = write_study(tmp_path, STUDY.replace(', "commnet"', "").replace("seeds = 2", "seeds = 3"))
    third = [f"{env}-mamba-debug-tuned-seed2" for env in ("probe_two-step", "probe_relay")]
    for seeds_together in (True, False):
        assert [job.name for job in plan_jobs(more, runs, set(), seeds_together=seeds_together)] == third
    # A run of other options, or of too few steps, is not the study's.
    for text in (STUDY + "[options]\ncollect.steps = 9\n", STUDY.replace("500", "600")):
        assert len(plan_jobs(write_study(tmp_path, text), runs, set(), seeds_together=False)) == 8


def test_a_folder_of_another_run_is_named_and_left_alone(tmp_path, capsys):
    runs, results = tmp_path / "runs", tmp_path / "results"
    assert sweep(write_study(tmp_path), runs, results, Processes(2)) == 0
    study = write_study(tmp_path, STUDY.replace('"commnet"', '"mag"') + "[options]\nppo.gamma = 0.5\n")
    assert sweep(study, runs, results, Processes(2)) == 1
    errors = capsys.readouterr().err
    assert "4 of 8 runs failed: probe_two-step-mamba-debug-tuned-seed0" in errors
    assert "differing in ppo.gamma (run: 0.997, command: 0.5)" in errors


def start_sweep(folder, study, *words, **environment):
    """`mag sweep` as a process, with the program that trains replaced."""
    program = fake_program(study.path.parent)
    code = f"from mag.experiments import jobs; jobs.PROGRAM = {program!r}; from mag.cli import main; main()"
    command = [sys.executable, "-c", code, "sweep", str(study.path), "--runs", str(folder), *words]
    return subprocess.Popen(
        [*command, "--results", str(folder / "none")],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, seconds=60.0):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def test_ctrl_c_stops_the_runs_which_save_and_the_same_command_goes_on(tmp_path):
    study, runs = write_study(tmp_path), tmp_path / "runs"
    running = start_sweep(runs, study, MAG_FAKE="pause=0.3")
    wait_for(lambda: any(runs.glob("*/metrics.jsonl")))
    running.send_signal(signal.SIGINT)
    output, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (130, "")
    assert "stopped probe_two-step-mamba-debug-tuned-seed0: saved" in output and "FAILED" not in output
    assert "stopped: 0 of 8 runs are finished; the same command goes on" in output
    assert "saved" in (runs / "probe_two-step-mamba-debug-tuned-seed0.log").read_text()
    assert sweep(study, runs, tmp_path / "results", Processes(2)) == 0


def test_a_study_killed_in_the_middle_ends_with_the_same_table(tmp_path):
    study, results = write_study(tmp_path), tmp_path / "results"
    assert sweep(study, tmp_path / "whole", results, Processes(2)) == 0
    running = start_sweep(tmp_path / "cut", study, "--jobs", "2", MAG_FAKE="pause=0.1")
    wait_for(lambda: any((tmp_path / "cut").glob("*/summary.json")))
    running.kill()
    running.communicate()
    # Its processes of training may live on: their folders are in use, which is waited for.
    assert sweep(study, tmp_path / "cut", results, Processes(2)) == 0
    whole, cut = (curves(study, tmp_path / name, results) for name in ("whole", "cut"))
    assert len(whole[0]) == 8 * 6 and whole[0].equals(cut[0])


def test_a_run_in_use_elsewhere_is_waited_for(tmp_path, capsys):
    study, runs = write_study(tmp_path), tmp_path / "runs"
    other = plan_jobs(study, runs, set(), seeds_together=False)[0]
    pool = Processes(1)
    os.environ["MAG_FAKE"] = "pause=0.2"
    try:
        pool.start(other)
        wait_for(lambda: (other.path / "metrics.jsonl").exists())
    finally:
        del os.environ["MAG_FAKE"]
    assert sweep(study, runs, tmp_path / "results", Processes(2)) == 0
    assert f"{other.name} is being trained by another process" in capsys.readouterr().out
    wait_for(lambda: pool.ended())


@pytest.mark.parametrize(
    "words, message",
    [
        (["--gpus", "0.5"], "--gpus is 0.5, but has no effect while --ray is not given; change that or leave it out"),
        (["--cpus", "2"], "--cpus is 2.0, but has no effect while --ray is not given; change that or leave it out"),
        (["--jobs", "2", "--ray", "auto"], "--jobs is 2, but has no effect while --ray is auto; change that or leave"),
    ],
)
def test_options_without_effect_are_refused(tmp_path, capsys, words, message):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["sweep", str(write_study(tmp_path).path), *words])
    assert exit_.value.code == 2 and capsys.readouterr().err.startswith(f"mag: {message}")


def test_a_damaged_folder_is_named_by_the_report_and_not_fatal(tmp_path):
    study, runs, results = write_study(tmp_path), tmp_path / "runs", tmp_path / "results"
    assert sweep(study, runs, results, Processes(2)) == 0
    (runs / study.cells[0].name / "config.json").write_text("{")
    metrics = runs / study.cells[1].name / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:-30] + b"\n")
    table, material = curves(study, runs, results)
    assert material.problems[0] == f"{metrics}: line 6 is damaged and left out"
    assert f"{runs / study.cells[0].name / 'config.json'} is not a run's configuration" in material.problems[1]
    assert material.missing == [f"{study.cells[0].name} (no curve)", f"{study.cells[1].name} (400 of 500 env steps)"]
    assert len(table) == 6 * 6
