"""Runs of environments on the host, from the first step to the summary."""

import dataclasses
import itertools
import json
import os
import signal
import threading
import time

import numpy as np
import psutil
import pytest

from mag.algorithms.config import CheckpointConfig, CollectConfig, EvaluationConfig
from mag.algorithms.registry import default_config
from mag.errors import PlayError, UsageError
from mag.play.host import HostPlayer
from mag.play.host_config import HostConfig
from mag.reports.evaluate import evaluate_run
from mag.reports.watch import watch
from mag.runs.config_file import load_config
from mag.runs.folder import RunFolder
from mag.runs.logger import read_rows
from mag.runs.train import Run, train
from tests.support.starcraft_server import install, launches, set_faults

FAMILY = "tests.support.host_envs"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOST_ENVS", str(tmp_path))
    return tmp_path


def config_of(env, **changes):
    """Seconds of CommNet in two environments."""
    config = default_config("commnet", env, "debug")
    sizes = {
        "steps": 60,
        "collect": CollectConfig(num_envs=2, steps=10),
        "evaluation": EvaluationConfig(every=1000, episodes=3),
        "checkpoint": CheckpointConfig(every=1e9),
        "host": HostConfig(failures=2, start_seconds=60.0),
        "learning": dataclasses.replace(config.learning, minibatches=1),
    }
    return dataclasses.replace(config, **(sizes | changes))


def rows_of(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_a_run_trains_is_resumed_and_tested(folder, capsys):
    config, path = config_of(f"{FAMILY}/counter"), folder / "run"
    summary = train(config, path)
    assert summary["env_steps"] >= 60 and rows_of(path)[-1]["play/restarts"] == 0
    # Its options of processes may differ when it is resumed.
    train(dataclasses.replace(config, steps=80, host=HostConfig()), path)
    assert "under way could not be saved: in their place 2 new ones begin" in capsys.readouterr().out
    result = evaluate_run(path, 3)
    assert json.loads(json.dumps(result)) == result
    assert result["each_length"] == [[5, 5, 5]] and result["each_won"] is None
    # No process is left.
    assert not any(psutil.pid_exists(int(line.split()[0])) for line in (folder / "log").read_text().splitlines())


def test_a_run_plays_elsewhere_where_sizes_are_the_same(folder):
    config, path = config_of("probe/counter", steps=20), folder / "run"
    train(config, path)
    own = evaluate_run(path, 4)
    assert evaluate_run(path, 4, env="probe/counter") == own
    # The twin on the host is the same task, and greedy play is the same.
    there = evaluate_run(path, 4, env=f"{FAMILY}/counter", batch=2)
    assert there["each_return"] == own["each_return"] and there["env"] != there["trained_on"]
    sampled = evaluate_run(path, 5, sampled=True, test_seed=3, batch=2)
    assert sampled["play"] == "sampled" and len(sampled["each_return"][0]) == 5
    assert sampled == evaluate_run(path, 5, sampled=True, test_seed=3, batch=2)
    assert len({*sampled["each_return"][0], *evaluate_run(path, 5, sampled=True, test_seed=4)["each_return"][0]}) > 2
    with pytest.raises(
        UsageError, match=r"cannot play .*wide, which has 15 features of an observation \(the run: 14\)"
    ):
        evaluate_run(path, 4, env=f"{FAMILY}/wide")


def test_a_run_whose_environment_fails_for_good_is_saved(folder):
    config, path = config_of(f"{FAMILY}/late", steps=10_000), folder / "run"

    def close():
        while not (path / "metrics.jsonl").exists() or len(rows_of(path)) < 3:
            time.sleep(0.05)
        (folder / "closed").touch()

    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    with pytest.raises(PlayError, match=r"late failed 2 times in a row, .* RuntimeError: the theatre is closed"):
        train(config, path)
    closing.join()
    played = rows_of(path)[-1]["iteration"]
    assert [each.name for each in (path / "checkpoints").iterdir()] == [str(played)]
    (folder / "closed").unlink()
    assert train(dataclasses.replace(config, steps=rows_of(path)[-1]["env_steps"] + 20), path)["iterations"] > played


def test_an_iteration_whose_test_fails_keeps_its_metrics(folder, monkeypatch):
    config, path = config_of(f"{FAMILY}/counter", steps=10_000), folder / "run"
    config = dataclasses.replace(config, evaluation=dataclasses.replace(config.evaluation, every=1))
    tests, evaluate = [], Run.evaluate

    def failing(run):
        tests.append(run)
        if len(tests) > 2:
            raise PlayError("the theatre is closed")
        return evaluate(run)

    monkeypatch.setattr(Run, "evaluate", failing)
    with pytest.raises(PlayError, match="the theatre is closed"):
        train(config, path)
    assert [row["iteration"] for row in rows_of(path)] == [0, 1, 2]
    assert [each.name for each in (path / "checkpoints").iterdir()] == ["2"]


def test_a_run_that_cannot_begin_saves_nothing(folder):
    with pytest.raises(UsageError, match="the game is not installed; install it"):
        train(config_of(f"{FAMILY}/refuse"), folder / "run")
    assert not list((folder / "run").glob("checkpoints/*"))


def test_the_game_has_to_be_the_one_that_the_run_noted(folder, monkeypatch):
    monkeypatch.setenv("SC2PATH", str(install(folder / "game", "3s_vs_3z")))
    config = config_of("starcraft/3s_vs_3z", steps=1)
    train(config, folder / "run")
    assert json.loads((folder / "run" / "config.json").read_text())["game"]["version"] == "4.10 (Base75689)"
    (folder / "game" / "Maps" / "SMAC_Maps" / "3s_vs_3z.SC2Map").write_bytes(b"another")
    with pytest.raises(UsageError, match=r"differing in game\.map_digest"):
        train(dataclasses.replace(config, steps=1000), folder / "run")
    monkeypatch.setenv("SC2PATH", str(folder / "nowhere"))
    with pytest.raises(UsageError, match="StarCraft II is missing"):
        train(config, folder / "other")


def test_a_run_on_the_game_is_resumed_tested_and_watched(folder, monkeypatch, capsys):
    monkeypatch.setenv("SC2PATH", str(install(folder / "game", "3s_vs_3z", build=90000)))
    config, path = config_of("starcraft/3s_vs_3z", steps=20), folder / "run"
    assert train(config, path)["env_steps"] >= 20
    # Each command says once, whatever its processes, that this is not the version of published results.
    assert capsys.readouterr().out.count("is played on StarCraft II Base90000, but published results are of 4.10") == 1
    assert json.loads((path / "config.json").read_text())["game"]["version"] == "Base90000"
    assert train(dataclasses.replace(config, steps=40), path)["env_steps"] >= 40
    output = capsys.readouterr().out
    assert "under way could not be saved: in their place 2 new ones begin" in output and output.count("Base90000") == 1
    assert len(evaluate_run(path, 2)["each_won"][0]) == 2
    assert "1 battle of commnet on starcraft/3s_vs_3z, " in watch(path, 1)
    page = (path / "battles.html").read_text()
    watch(path, 1)
    assert "zealot" in page and page == (path / "battles.html").read_text()
    assert not any(psutil.pid_exists(pid) for pid in launches(folder / "game"))


def test_tasks_without_a_view_are_not_watched(folder):
    config, path = config_of(f"{FAMILY}/counter", steps=10), folder / "run"
    train(config, path)
    with pytest.raises(UsageError, match=r"counter has no battles to draw; of the package's families smac_jax, sm"):
        watch(path, 1)
    made = [line.split()[1] for line in (folder / "log").read_text().splitlines() if line.startswith(str(os.getpid()))]
    assert made == ["made", "closed"]


def test_only_algorithms_with_a_replay_play_ahead(folder):
    with pytest.raises(UsageError, match=r"host\.overlap is true, but commnet learns from what its newest policy has"):
        train(config_of(f"{FAMILY}/counter", host=HostConfig(overlap=True)), folder / "run")


def test_a_run_of_before_an_option_of_processes_is_read(folder):
    train(config_of("probe/counter", steps=1), folder / "run")
    file = folder / "run" / "config.json"
    about = json.loads(file.read_text())
    del about["config"]["host"]["overlap"]
    file.write_text(json.dumps(about))
    assert not load_config(RunFolder(folder / "run")).host.overlap


def is_any_process_left(folder):
    """Whether a game, or a process of this one that plays, is still there."""
    playing = [child for child in psutil.Process().children(recursive=True) if "mag.play.worker" in child.cmdline()]
    return bool(playing) or any(psutil.pid_exists(pid) for pid in launches(folder / "game"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "restarts", "dropped"),
    [
        pytest.param({"crash_at": 15}, [2], 2, id="crash"),
        pytest.param({"hang_at": 15}, [2], 2, id="hang"),
        pytest.param({"error_at": 15}, [2], 2, id="error"),
        pytest.param({"garbage_at": 15}, [2], 2, id="garbage"),
        pytest.param({"leak": 2**27}, [2], 2, id="leak"),
        # Six games die: each environment's first three, or one has another game in time.
        pytest.param({"die_starting": True, "launches": 6}, [1, 2], 0, id="die starting"),
    ],
)
def test_a_run_on_the_game_survives_what_goes_wrong_in_it(folder, monkeypatch, fault, restarts, dropped):
    game = install(folder / "game", "3s_vs_3z")
    monkeypatch.setenv("SC2PATH", str(game))
    monkeypatch.setattr("mag.play.seats.LOOK_EVERY", 5)
    collect, faulty = HostPlayer.collect, {"launches": 2} | fault

    def collect_with_faults(*args):
        # The test before training has gone well: the next games are those that training begins with.
        set_faults(game, **faulty | {"launches": len(launches(game)) + faulty["launches"]})
        monkeypatch.setattr(HostPlayer, "collect", collect)
        return collect(*args)

    monkeypatch.setattr(HostPlayer, "collect", collect_with_faults)
    host = HostConfig(step_seconds=40.0, memory=2.5, failures=10)
    train(
        config_of("starcraft/3s_vs_3z", evaluation=EvaluationConfig(every=1000, episodes=1), host=host), folder / "run"
    )
    rows = rows_of(folder / "run")
    assert rows[-1]["env_steps"] >= 60
    assert rows[-1]["play/restarts"] in restarts and rows[-1]["play/dropped_episodes"] == dropped
    assert all(np.isfinite(value) for row in rows for value in row.values() if value is not None)
    assert not is_any_process_left(folder)


@pytest.mark.slow
def test_a_run_on_the_game_survives_that_its_games_are_killed(folder, monkeypatch):
    monkeypatch.setenv("SC2PATH", str(install(folder / "game", "3s_vs_3z")))
    done = threading.Event()
    killed = []

    def kill():
        # Soon enough for a quick machine; longer and longer, so that games also start on a loaded one.
        pauses = (4.0 * 1.5**k for k in itertools.count())
        while not done.wait(next(pauses)):
            # Those of tests are among them, which may idle.
            for pid in filter(psutil.pid_exists, launches(folder / "game")):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    # On a loaded machine several games in a row are killed while they start: how many says nothing here.
    train(config_of("starcraft/3s_vs_3z", steps=4000, host=HostConfig(failures=100)), folder / "run")
    done.set()
    killer.join()
    last = rows_of(folder / "run")[-1]
    assert last["env_steps"] >= 4000 and 0 < last["play/dropped_episodes"] <= last["play/restarts"] <= len(killed)
    assert not read_rows(RunFolder(folder / "run"))[1]
    assert not is_any_process_left(folder)
