"""The run folder: who may use it, what it says about a run."""

import dataclasses
import errno
import fcntl
import json
from pathlib import Path

import pytest

from mag.algorithms.config import CheckpointConfig, EvaluationConfig
from mag.algorithms.mag.config import PPOConfig
from mag.algorithms.registry import ALGORITHMS, RECIPES, SIZES, default_config
from mag.errors import UsageError
from mag.options import flatten, number, override
from mag.runs import surroundings
from mag.runs.config_file import claim, extend, load_config, replace
from mag.runs.folder import RunFolder, default_path
from mag.runs.train import train
from tests.support.fake import NAME, fake_config


def take(path, config):
    with claim(path, config) as folder:
        extend(folder, config)


@pytest.mark.skipif(not (Path(__file__).parents[2] / ".git").exists(), reason="not in a repository")
def test_the_revision_is_the_commit_of_the_source():
    commit, _, changes = (surroundings.revision() or "").partition("+")
    assert len(commit) == 40 and changes in ("", "changes")


def test_the_configuration_is_written_with_versions_and_hardware(tmp_path):
    take(tmp_path / "a" / "run", fake_config(seed=7))
    described = json.loads((tmp_path / "a" / "run" / "config.json").read_text())
    assert described["config"]["seed"] == 7
    assert described["config"]["collect"] == {"num_envs": 1, "steps": 6, "time_limit": "end", "nearest_first": False}
    assert described["versions"].keys() >= {"python", "jax", "jaxlib", "equinox"}
    assert described["hardware"]["cores"] >= 1
    assert described["hardware"]["device"]
    assert "revision" in described


def test_the_default_name_tells_runs_apart():
    config = default_config("mag", "probe/memory", "debug", "tuned")
    assert str(default_path(config)) == "runs/probe_memory-mag-debug-tuned-seed0"
    other = override(config, {"seed": 3, "steps": 7, "planner.horizon": 5, "ppo.gamma": 0.5})
    assert str(default_path(other)) == "runs/probe_memory-mag-debug-tuned-planner.horizon=5-ppo.gamma=0.5-seed3"
    elite = default_config("mag", "probe/memory", "debug", "tuned", planner="elite")
    assert str(default_path(elite)) == "runs/probe_memory-mag-debug-tuned-planner.kind=elite-seed0"


def test_a_long_list_of_changed_options_is_shortened_and_still_tells_runs_apart():
    config = default_config("mag", "probe/memory", "debug", "tuned")
    many = {"ppo.gamma": 0.5, "ppo.clip": 0.1, "ppo.entropy": 0.5, "ppo.epochs": 3, "ppo.actor_learning_rate": 0.25}
    first, second = (str(default_path(override(config, {**many, "ppo.minibatch": size}))) for size in (8, 9))
    assert len(first) < 80 and first != second


def test_other_fields_are_refused_with_both_values(tmp_path):
    take(tmp_path, fake_config())
    other = fake_config(seed=5, evaluation=EvaluationConfig(every=12, episodes=6))
    with pytest.raises(UsageError) as error:
        take(tmp_path, other)
    assert "seed (run: 0, command: 5)" in str(error.value)
    assert "evaluation.episodes (run: 5, command: 6)" in str(error.value)
    assert json.loads((tmp_path / "config.json").read_text())["config"]["seed"] == 0


def test_of_what_differs_the_cause_is_named_and_of_many_fields_the_first(tmp_path):
    """Another method has some eighty other options, which follow from it."""
    take(tmp_path, default_config("mag", "probe/relay", "debug", "tuned"))
    with pytest.raises(UsageError, match=r"differing in algo \(run: mag, command: commnet\); delete it"):
        take(tmp_path, default_config("commnet", "probe/relay", "debug", "tuned"))
    other = dataclasses.replace(default_config("mag", "probe/relay", "debug", "tuned"), ppo=PPOConfig())
    first = r"differing in ppo(\.\w+ \([^)]*\), ppo){5}\.\w+ \([^)]*\) and \d more; delete it"
    with pytest.raises(UsageError, match=first):
        take(tmp_path, other)


def test_a_run_does_not_go_on_with_a_map_file_that_has_changed(tmp_path):
    path = tmp_path / "map.toml"
    path.write_text(
        "limit = 50\n"
        'allies = [{ unit = "stalker", count = 2, at = [9, 16] }]\n'
        'enemies = [{ unit = "zealot", count = 1, at = [23, 16] }]\n'
    )
    config = fake_config(env=f"smac_jax/{path}")
    take(tmp_path / "run", config)
    path.write_text("# the same map\n" + path.read_text())
    take(tmp_path / "run", config)
    path.write_text(path.read_text().replace("limit = 50", "limit = 60"))
    with pytest.raises(UsageError, match=r"differing in map\.limit \(run: 50, command: 60\); delete it"):
        take(tmp_path / "run", config)
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert about["map"]["limit"] == 50
    with pytest.raises(UsageError, match=r"differing in env \("):
        take(tmp_path / "run", fake_config(env="smac_jax/3s_vs_3z"))


def test_steps_and_checkpoints_may_change_and_are_noted(tmp_path):
    take(tmp_path, fake_config(steps=10))
    take(tmp_path, fake_config(steps=99, checkpoint=CheckpointConfig(every=5.0, keep=7)))
    config = json.loads((tmp_path / "config.json").read_text())["config"]
    assert config["steps"] == 99 and config["checkpoint"]["keep"] == 7
    take(tmp_path, fake_config(steps=10))
    assert json.loads((tmp_path / "config.json").read_text())["config"]["steps"] == 99


def test_the_files_of_the_users_own_modules_are_noted(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_tasks.py").write_text("a = 1")
    config = fake_config(env="my_tasks/corridor")
    noted = surroundings.surroundings(config)["plugins"]
    assert set(noted) == {"my_tasks", NAME}
    (tmp_path / "my_tasks.py").write_text("a = 2")
    edited = surroundings.plugins(config)
    assert edited[NAME] == noted[NAME] and edited["my_tasks"] != noted["my_tasks"]
    assert "plugins" not in surroundings.surroundings(default_config("mamba", "probe/relay", "debug"))


def test_what_is_new_when_a_run_goes_on_is_noted_and_told(tmp_path, monkeypatch, capsys):
    def go_on(steps):
        train(fake_config(steps=steps), tmp_path)
        described = json.loads((tmp_path / "config.json").read_text())
        return [each["revision"] for each in described.get("resumed", [])], capsys.readouterr().out

    for steps in (8, 16):
        assert go_on(steps)[0] == []
    monkeypatch.setattr(surroundings, "revision", lambda: "another")
    assert go_on(16)[0] == []  # finished: nothing goes on
    noted, told = go_on(24)
    assert noted == ["another"]
    assert "revision changed since this run last trained: it need not repeat bit for bit" in told
    noted, told = go_on(32)
    assert noted == ["another"] and "revision" not in told
    monkeypatch.setattr(surroundings, "plugins", lambda config: {NAME: "edited"})
    noted, told = go_on(40)
    assert noted == ["another", "another"] and f"{NAME} changed since this run last trained" in told


def test_a_run_of_which_nothing_was_saved_can_be_deleted(tmp_path):
    take(tmp_path, fake_config())
    with pytest.raises(UsageError, match="delete it, for nothing was saved, or give another --run"):
        take(tmp_path, fake_config(seed=5))
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UsageError, match="give the same values to resume it, or give another --run"):
        take(tmp_path, fake_config(seed=5))


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match=r"holds other files \(thesis.tex\).*--run"):
        take(tmp_path, fake_config())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write to the run folder .*Not a directory.*--run"):
        take(tmp_path / "file" / "run", fake_config())


def test_a_broken_configuration_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match="not a run's configuration"):
        take(tmp_path, fake_config())


@pytest.mark.parametrize(
    ("name", "value"),
    [("algo", None), ("steps", "x"), ("num_seeds", "x"), ("num_seeds", True), ("collect", 5), ("seed", 1.5)],
)
def test_values_of_other_types_are_no_configuration(tmp_path, name, value):
    config = default_config("mag", "probe/memory", "debug", "tuned")
    take(tmp_path, config)
    about = json.loads((tmp_path / "config.json").read_text())
    about["config"][name] = value
    (tmp_path / "config.json").write_text(json.dumps(about))
    with pytest.raises(UsageError, match="not a run's configuration"):
        load_config(RunFolder(tmp_path))


@pytest.mark.parametrize("resumed", [[], {}, 5, [["ab"]]])
def test_a_damaged_history_is_no_configuration(tmp_path, resumed):
    take(tmp_path, fake_config())
    about = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**about, "resumed": resumed}))
    with pytest.raises(UsageError, match="not a run's configuration"):
        take(tmp_path, fake_config())


@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_what_was_written_is_what_is_loaded(tmp_path, algo, size, recipe):
    config = default_config(algo, "smax/2s3z", size, recipe)
    take(tmp_path, config)
    assert load_config(RunFolder(tmp_path)) == config


def test_a_run_that_cannot_go_on_keeps_its_configuration(tmp_path):
    take(tmp_path, fake_config(steps=10))
    with pytest.raises(UsageError, match="too large"), claim(tmp_path, fake_config(steps=99)):
        raise UsageError("too large")
    assert json.loads((tmp_path / "config.json").read_text())["config"]["steps"] == 10


def test_a_run_refused_before_it_began_makes_way_for_another(tmp_path):
    with pytest.raises(UsageError, match="too large"), claim(tmp_path, fake_config(seed=1)):
        raise UsageError("too large")
    take(tmp_path, fake_config(seed=2))
    assert json.loads((tmp_path / "config.json").read_text())["config"]["seed"] == 2


def test_a_run_that_failed_later_keeps_its_configuration(tmp_path):
    with pytest.raises(UsageError, match="diverged"), claim(tmp_path, fake_config(seed=1)) as folder:
        folder.metrics.write_text("{}")
        raise UsageError("diverged")
    assert folder.config.exists()


def test_one_process_at_a_time(tmp_path):
    with (
        claim(tmp_path, fake_config()),
        pytest.raises(UsageError, match=r"in use by process \d+"),
        claim(tmp_path, fake_config()),
    ):
        pass
    take(tmp_path, fake_config())


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    def flock(file, operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UsageError, match=r"cannot be locked \(Function not implemented\)"):
        take(tmp_path, fake_config())


def test_loading_needs_a_run(tmp_path):
    with pytest.raises(UsageError, match=r"not a run folder.*mag train --run"):
        load_config(RunFolder(tmp_path))


def test_flatten_names_nested_fields():
    assert flatten({"a": 1, "b": {"c": {"d": 2}}}) == {"a": 1, "b.c.d": 2}


def test_fields_that_may_change_exist():
    from mag.runs.folder import CHANGEABLE

    assert set(CHANGEABLE) <= {field.name for field in dataclasses.fields(fake_config())}


def without(path, *names):
    """Leave options out of the run's config.json, as if they had been added after it was written."""
    values = json.loads((path / "config.json").read_text())
    for name in names:
        group, _, option = name.rpartition(".")
        (values["config"][group] if group else values["config"]).pop(option)
    (path / "config.json").write_text(json.dumps(values))


def test_a_run_from_before_an_option_was_added_counts_as_having_it_switched_off(tmp_path):
    config = default_config("mag", "probe/relay", "debug", "tuned", planner="elite")
    take(tmp_path, config)
    without(tmp_path, "exploration.attacks_as_one", "planner.num_rounds", "precision", "host")
    older = load_config(RunFolder(tmp_path))
    # As published, not as in recipe tuned, where an option may have changed since.
    assert older == override(config, {"precision": "float32"})
    take(tmp_path, older)  # goes on
    changed = override(config, {"precision": "float32", "exploration.attacks_as_one": True})
    without(tmp_path, "exploration.attacks_as_one")
    with pytest.raises(UsageError, match=r"exploration\.attacks_as_one \(run: False, command: True\)"):
        take(tmp_path, changed)


def test_an_option_that_is_not_known_here_is_refused(tmp_path):
    take(tmp_path, default_config("mag", "probe/relay", "debug", "tuned"))
    values = json.loads((tmp_path / "config.json").read_text())
    values["config"]["ppo"]["lambda_"] = 0.5
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(UsageError, match="it differs in the field lambda_"):
        load_config(RunFolder(tmp_path))


def test_a_kept_value_is_read_by_its_options_declared_type():
    @dataclasses.dataclass(frozen=True)
    class Options:
        share: float = number(1)
        most: int | None = number(None)

    file = Path("config.json")
    assert replace(Options(), {"share": 0.5, "most": 3}, file) == Options(0.5, 3)
    assert replace(Options(), {"share": 1, "most": None}, file) == Options(1.0, None)
    with pytest.raises(UsageError, match=r"config.json is not a run's configuration \(most is 'many'\)"):
        replace(Options(), {"share": 1, "most": "many"}, file)
