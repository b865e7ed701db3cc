"""Reading a trained run back."""

import dataclasses
import shutil

import numpy as np
import pytest

from mag.algorithms.config import CheckpointConfig
from mag.errors import UsageError
from mag.play.testing import evaluation_keys, means
from mag.runs.config_file import claim
from mag.runs.setup import set_up
from mag.runs.train import train
from mag.runs.trained import load_run
from tests.support.fake import fake_config
from tests.support.fake_env import FAMILY

MAP = """
limit = 50
allies = [{ unit = "stalker", count = 2, at = [9, 16] }]
enemies = [{ unit = "tough_zealot", count = 1, at = [23, 16] }]
[units.tough_zealot]
like = "zealot"
health = 150
"""


def test_a_run_plays_what_it_noted_of_its_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("length = 5")
    train(fake_config(env=f"{FAMILY}/{file}", steps=5), tmp_path / "run")
    for change in (lambda: file.write_text("length = 2"), file.unlink):
        change()
        run = load_run(tmp_path / "run")
        agent = run.algorithm.agent(run.state.learner)
        tested = run.player.test(evaluation_keys(0, 2, 0), agent, 3)
        np.testing.assert_array_equal(tested.length, np.full((2, 3), 5))


@pytest.mark.slow
def test_a_run_plays_the_battle_that_it_noted_when_the_file_is_gone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(MAP)
    config = fake_config(env="smac_jax/mine.toml", steps=8, num_seeds=1)
    train(config, tmp_path / "run")
    (tmp_path / "mine.toml").unlink()
    monkeypatch.chdir("/")

    run = load_run(tmp_path / "run")
    played = run.player.env
    assert (played.spec.name, played.spec.episode_limit) == ("smac_jax/mine.toml", 50)
    assert [kind.health for kind in played.view.scene.kinds] == [80, 150]
    with pytest.raises(UsageError, match=r"cannot read the map file mine.toml"):
        set_up(config)


@pytest.mark.usefixtures("compile_once")
def test_what_is_read_back_is_what_was_trained(tmp_path):
    config = fake_config(workers=2)
    summary = train(config, tmp_path)
    run = load_run(tmp_path)
    # One worker reads what any number have trained.
    assert run.config == config and run.algorithm.config == dataclasses.replace(config, workers=1)
    assert run.state.learner.count.tolist() == [10, 10] and run.progress.slowest == 40
    keys = evaluation_keys(config.seed, config.num_seeds, run.progress.iteration)
    tested = run.player.test(keys, run.algorithm.agent(run.state.learner), config.evaluation.episodes)
    assert means(tested).returns == summary["eval_return"] and means(tested).win_rate == summary["eval_win_rate"]


def test_a_newer_checkpoint_that_is_damaged_is_told(tmp_path):
    config = fake_config(steps=8, checkpoint=CheckpointConfig(every=0.0))
    train(config, tmp_path)
    (tmp_path / "checkpoints" / "2" / "manifest.json").unlink()
    run = load_run(tmp_path)
    assert run.state.learner.count.tolist() == [1, 1]
    (warning,) = run.warnings
    assert str(tmp_path / "checkpoints" / "2") in warning and "was left out" in warning


def test_a_finished_run_without_checkpoints_is_told_what_is_lost(tmp_path, capsys):
    train(fake_config(steps=8), tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(UsageError, match="a finished run, but no checkpoint is left, so the policy is lost"):
        load_run(tmp_path)
    capsys.readouterr()
    train(fake_config(steps=8), tmp_path)
    told = capsys.readouterr().out
    assert "no checkpoint is left, so the policy is lost: restore the folder checkpoints" in told
    assert "more --steps" not in told


def test_folders_without_a_run_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"is not a run folder \(it has no config\.json\)"):
        load_run(tmp_path)
    with claim(tmp_path, fake_config()):
        pass
    with pytest.raises(UsageError, match="has no checkpoint yet; give the `mag train` command that began it again"):
        load_run(tmp_path)
