"""The host loop, with the smallest method: when it evaluates, stops, saves, goes on and gives up."""

import json
import shutil
import signal
import subprocess
import sys

import pytest

from mag.algorithms.config import CheckpointConfig, EvaluationConfig
from mag.errors import UsageError
from mag.runs.interrupt import Interrupted
from mag.runs.train import train
from tests.support.fake import FOUR_STEPS, NAME, fake_config
from tests.support.fake_env import FAMILY
from tests.support.stopping import signal_in_iteration

pytestmark = pytest.mark.usefixtures("compile_once")


def read_metrics(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_all_its_files(tmp_path):
    train(fake_config(), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {
        "config.json",
        "metrics.jsonl",
        "events",
        "checkpoints",
        "curve.png",
        "summary.json",
    }


def test_a_row_per_iteration_and_seed(tmp_path):
    train(fake_config(seed=5), tmp_path)
    rows = read_metrics(tmp_path)
    # Iterations 0 (the first evaluation) to 10, of 4 steps each, for the seeds 5 and 6.
    assert [(row["iteration"], row["seed"], row["env_steps"]) for row in rows] == [
        (iteration, seed, 4 * iteration) for iteration in range(11) for seed in (5, 6)
    ]
    assert all({"train/win_rate", "train/return", "time/elapsed"} <= row.keys() for row in rows)
    assert all("models/loss" in row for row in rows[2:])


def test_evaluated_at_the_start_when_due_and_at_the_end(tmp_path):
    train(fake_config(), tmp_path)
    evaluated = [row["env_steps"] for row in read_metrics(tmp_path) if "eval/win_rate" in row and row["seed"] == 0]
    # Every 12 steps, and the last.
    assert evaluated == [0, 12, 24, 36, 40]


def test_the_summary_is_of_the_last_evaluation(tmp_path):
    summary = train(fake_config(), tmp_path)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    last = read_metrics(tmp_path)[-2:]
    assert summary["eval_win_rate"] == [row["eval/win_rate"] for row in last]
    assert summary["eval_return"] == [row["eval/return"] for row in last]
    assert [summary[name] for name in ("env", "algo", "size", "recipe")] == [FOUR_STEPS, NAME, "debug", "tuned"]
    assert summary["env_steps"] == 40 and summary["wall_seconds"] > 0


def test_a_seed_does_not_depend_on_its_neighbours(tmp_path):
    train(fake_config(seed=0, num_seeds=2), tmp_path / "two")
    train(fake_config(seed=1, num_seeds=1), tmp_path / "one")
    two = [row for row in read_metrics(tmp_path / "two") if row["seed"] == 1]
    one = read_metrics(tmp_path / "one")
    for name in ("train/win_rate", "train/return", "eval/win_rate", "eval/return", "models/loss"):
        assert [row.get(name) for row in one] == [row.get(name) for row in two]
    assert len({row["train/return"] for row in one}) > 3  # they do not agree because nothing happens


def test_a_finished_run_says_so_and_stays_as_it_is(tmp_path, capsys, monkeypatch):
    summary = train(fake_config(), tmp_path)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    capsys.readouterr()
    monkeypatch.setattr("mag.runs.train.set_up", lambda config: pytest.fail("a finished run builds nothing"))
    assert train(fake_config(), tmp_path) == summary
    assert "finished" in capsys.readouterr().out
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_fewer_steps_than_played_but_not_evaluated_there(tmp_path):
    with pytest.raises(Interrupted), signal_in_iteration(5):
        train(fake_config(), tmp_path)
    summary = train(fake_config(steps=8), tmp_path)
    assert summary["env_steps"] == 20
    assert summary["eval_win_rate"] == [row["eval/win_rate"] for row in read_metrics(tmp_path)[-2:]]


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_finish_the_iteration_and_save(tmp_path, signum, code, capsys):
    handler = signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(signum, handler)  # under nohup hangups are ignored
    try:
        with pytest.raises(Interrupted) as stopped, signal_in_iteration(3, signum):
            train(fake_config(), tmp_path)
        assert signal.getsignal(signum) is handler
    finally:
        signal.signal(signum, before)
    assert stopped.value.exit_code == code
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["3"]
    assert f"saved in {tmp_path}" in capsys.readouterr().out
    assert not (tmp_path / "summary.json").exists()
    assert (tmp_path / "curve.png").exists()


def test_a_hangup_that_is_ignored_stays_so(tmp_path):
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signal_in_iteration(3, signal.SIGHUP):
            train(fake_config(), tmp_path)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (tmp_path / "summary.json").exists()


@pytest.mark.parametrize("every", [0.0, 1e9])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good(tmp_path, every):
    config = fake_config(checkpoint=CheckpointConfig(every=every), breaks_at=4)
    with pytest.raises(UsageError, match=r"iteration 5 at env_steps 20: models/loss is nan for seed 1;") as error:
        train(config, tmp_path)
    kept = tmp_path / "checkpoints" / "4"
    assert kept.exists() == (every == 0.0)
    assert (str(kept) if kept.exists() else "nothing was saved") in str(error.value)
    assert read_metrics(tmp_path)[-1]["iteration"] == 4


def test_parameters_that_are_no_numbers_are_not_saved(tmp_path):
    config = fake_config(checkpoint=CheckpointConfig(every=0.0), spoils_weights=True)
    with pytest.raises(UsageError, match="weights of the policy holds NaN; nothing was saved"):
        train(config, tmp_path)


@pytest.mark.parametrize(
    ("map_name", "value", "first_test"),
    # The first test finds the one; the other shows only where the agents draw different actions, in training.
    [("infinite", "inf", False), ("unlike", "nan", True)],
)
def test_rewards_that_are_no_numbers_are_the_environments_fault(tmp_path, map_name, value, first_test):
    env = f"{FAMILY}/{map_name}"
    with pytest.raises(UsageError, match=f"an episode of {env} has the return {value}; its rewards have to be finite"):
        train(fake_config(env=env), tmp_path)
    assert bool(read_metrics(tmp_path)) == first_test


def test_without_wins_returns_are_reported(tmp_path):
    summary = train(fake_config(env=f"{FAMILY}/winless"), tmp_path)
    assert summary["eval_win_rate"] is None and len(summary["eval_return"]) == 2
    assert not any(name.endswith("win_rate") for row in read_metrics(tmp_path) for name in row)


def test_a_metrics_file_that_lost_its_end_is_told(tmp_path, capsys):
    train(fake_config(steps=20), tmp_path)
    (tmp_path / "metrics.jsonl").write_text("")
    train(fake_config(steps=24), tmp_path)
    assert "metrics.jsonl is shorter than it was" in capsys.readouterr().out


def test_a_damaged_row_is_told_and_does_not_keep_a_run_from_its_end(tmp_path, capsys):
    train(fake_config(steps=20), tmp_path)
    metrics = tmp_path / "metrics.jsonl"
    text = metrics.read_bytes()
    metrics.write_bytes(text[:5] + b"\xff{" + text[7:])
    assert train(fake_config(steps=40), tmp_path)["env_steps"] == 40
    assert "metrics.jsonl, line 1, is damaged and not in curve.png" in capsys.readouterr().out


def test_a_picture_that_cannot_be_written_is_told(tmp_path, capsys):
    train(fake_config(steps=20), tmp_path)
    (tmp_path / "curve.png").unlink()
    (tmp_path / "curve.png").mkdir()
    assert train(fake_config(steps=40), tmp_path)["env_steps"] == 40
    assert "curve.png was not drawn (Is a directory)" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"env_steps": "x"}', '{"env_steps": 50}'])
def test_a_damaged_summary_is_written_again(tmp_path, content):
    summary = train(fake_config(), tmp_path)
    (tmp_path / "summary.json").write_text(content)
    assert train(fake_config(), tmp_path) == summary


def test_a_run_killed_while_it_replaced_its_only_checkpoint_goes_on(tmp_path, capsys):
    config = fake_config(checkpoint=CheckpointConfig(keep=1))
    train(config, tmp_path)
    (only,) = (tmp_path / "checkpoints").iterdir()
    only.rename(only.with_name(f".replaced-{only.name}"))
    (tmp_path / "summary.json").unlink()
    capsys.readouterr()
    train(config, tmp_path)
    assert f"resuming {tmp_path} at iteration {only.name}" in capsys.readouterr().out


def test_a_finished_run_without_checkpoints_is_not_begun_again(tmp_path):
    train(fake_config(), tmp_path)
    rows = read_metrics(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(UsageError, match="no checkpoint is left, so the policy is lost"):
        train(fake_config(steps=60), tmp_path)
    assert read_metrics(tmp_path) == rows


def test_a_run_that_stopped_before_it_was_saved_says_that_it_begins_again(tmp_path, capsys):
    train(fake_config(), tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    (tmp_path / "summary.json").unlink()
    train(fake_config(), tmp_path)
    assert "nothing was saved in" in capsys.readouterr().out


def test_files_that_cannot_be_written_get_a_sentence(tmp_path):
    train(fake_config(steps=20), tmp_path)
    shutil.rmtree(tmp_path / "events")
    (tmp_path / "events").touch()
    with pytest.raises(UsageError, match=r"cannot go on \(.*events.*what was saved is kept"):
        train(fake_config(steps=40), tmp_path)
    (tmp_path / "events").unlink()
    assert train(fake_config(steps=40), tmp_path)["env_steps"] == 40


def test_a_run_that_nobody_reads_is_saved(tmp_path):
    command = [sys.executable, "-m", "tests.support.fake", str(tmp_path / "run"), "100000", "0.01"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 128 + signal.SIGPIPE and not errors
    assert any((tmp_path / "run" / "checkpoints").iterdir())


def test_more_test_episodes_than_memory_holds_are_refused_before_the_run_begins(tmp_path):
    many = fake_config(evaluation=EvaluationConfig(every=12, episodes=10**20))
    with pytest.raises(UsageError, match=r"for episodes.*; lower evaluation.episodes"):
        train(many, tmp_path)
    assert train(fake_config(), tmp_path)["env_steps"] == 40
