"""Reading a trained run back."""

import pytest

from mag import envs
from mag.errors import UsageError
from mag.runs.train import train
from mag.runs.trained import load_run
from tests.support.fake import build, fake_config

MAP = """
limit = 50
allies = [{ unit = "stalker", count = 2, at = [9, 16] }]
enemies = [{ unit = "tough_zealot", count = 1, at = [23, 16] }]
[units.tough_zealot]
like = "zealot"
health = 150
"""


def test_a_run_plays_the_map_that_it_noted_when_the_file_is_gone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(MAP)
    config = fake_config(env="smac_jax/mine.toml", steps=8)
    train(config, tmp_path / "run", build=build)
    (tmp_path / "mine.toml").unlink()
    monkeypatch.chdir("/")

    def rebuild(config, content=None):
        return build(config, env=envs.make(config.env, content))

    run = load_run(tmp_path / "run", build=rebuild, load=lambda folder: config)
    played = run.algorithm.env
    assert (played.spec.name, played.spec.episode_limit) == ("smac_jax/mine.toml", 50)
    assert [kind.health for kind in played.view.scene.kinds] == [80, 150]
    with pytest.raises(UsageError, match=r"cannot read the map file mine.toml"):
        rebuild(config)
