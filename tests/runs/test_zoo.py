"""Trained policies in small files."""

import contextlib
import json

import jax
import numpy as np
import pytest

import mag
from mag.algorithms.registry import default_config
from mag.cli.main import dispatch
from mag.cli.train import base_config
from mag.envs import spec
from mag.errors import UsageError
from mag.learning.sizes import size_of
from mag.options import override
from mag.runs import export as exporting
from mag.runs import zoo
from mag.runs.checkpoint import Checkpoints
from mag.runs.config_file import claim
from mag.runs.export import command, export
from mag.runs.progress import Evaluation, Progress
from mag.runs.setup import set_up
from mag.runs.trained import load_run
from mag.runs.weights import weights, with_weights, write_weights

ENV = "probe/one-step"


def config(algo="commnet", **changes):
    return override(default_config(algo, ENV, "debug", "tuned", spec=spec(ENV)), {"steps": 100, **changes})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two seeds that was stopped after 96 of 100 steps; nothing was learned."""
    path = tmp_path_factory.mktemp("zoo") / "run"
    tested = Evaluation(iteration=3, win_rate=[0.5, 0.25], returns=[0.5, 0.25], length=[1.0, 1.0])
    progress = Progress(3, [96, 97], [8, 9], [[], []], evaluation=tested)
    with claim(path, config(num_seeds=2)) as folder:
        _, state = set_up(config(num_seeds=2))
        Checkpoints(folder.checkpoints, keep=1).save(state, progress.to_json(), 3)
    return path


@pytest.fixture
def kept(run, tmp_path, monkeypatch):
    """The run's second seed as an entry of a zoo of its own."""
    monkeypatch.setattr(zoo, "FOLDER", tmp_path / "zoo")
    monkeypatch.chdir(run.parent)
    return export(run, "mine", seed=1, into=tmp_path / "zoo")


def test_an_entry_acts_as_its_run(run, kept):
    """Half precision keeps three digits, which decide nothing for observations that differ by 1."""
    theirs, ours = mag.load(run, seed=1), mag.load("zoo/mine")
    assert ours.spec == theirs.spec
    for cue in np.eye(4):
        observation = np.stack([cue, cue[::-1]])
        np.testing.assert_array_equal(theirs.act(observation, first=True), ours.act(observation, first=True))


def test_an_entry_is_small_and_tells_what_made_it(run, kept):
    told = json.loads((kept / "config.json").read_text())
    assert told["made"]["command"] == (
        f"mag train --env {ENV} --algo commnet --size debug --recipe tuned --seed 0 --steps 96 --num-seeds 2"
    )
    assert (told["made"]["env_steps"], told["made"]["iteration"]) == (97, 3)
    assert (told["made"]["eval_win_rate"], told["made"]["eval_return"]) == (0.25, 0.25)
    assert (told["options"]["seed"], told["options"]["num_seeds"]) == (1, 1)
    assert (kept / "weights.npz").stat().st_size < 1_000_000
    with np.load(kept / "weights.npz", allow_pickle=False) as stored:
        assert all(array.dtype == np.float16 for array in stored.values())


def test_an_entry_is_evaluated_by_name(kept, capsys):
    dispatch(["evaluate", "zoo/mine", "--episodes", "3", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert (result["run"], result["env"], result["seeds"]) == ("zoo/mine", ENV, [1])
    assert len(result["each_return"][0]) == 3


def test_what_cannot_be_is_told(run, kept):
    with pytest.raises(UsageError, match=r"zoo/mien is not a folder and not in the zoo \(did you mean mine\?\)"):
        mag.load("zoo/mien")
    with pytest.raises(UsageError, match=r"has no battles to draw"):
        dispatch(["watch", "zoo/mine"])
    with pytest.raises(UsageError, match=r"run of commnet, which has no models"):
        dispatch(["diagnose", "zoo/mine"])
    with pytest.raises(UsageError, match=r"seed is 7; the run in .* has the seeds 0 to 1"):
        export(run, "other", seed=7, into=kept.parent)


def test_a_refused_entry_leaves_the_one_before(run, kept, monkeypatch):
    before = {file.name: file.read_bytes() for file in kept.iterdir()}
    monkeypatch.setattr(exporting, "LARGEST", 100)
    with pytest.raises(UsageError, match=r"an entry of the zoo has at most 100"):
        export(run, "mine", seed=0, into=kept.parent)
    assert {file.name: file.read_bytes() for file in kept.iterdir()} == before
    assert [path.name for path in kept.parent.iterdir()] == ["mine"]


def test_weights_with_a_flipped_bit_are_told(kept):
    data = bytearray((kept / "weights.npz").read_bytes())
    for place in range(100, len(data) - 200, 150):
        spoiled = data.copy()
        spoiled[place] ^= 0x55
        (kept / "weights.npz").write_bytes(spoiled)
        with contextlib.suppress(UsageError):  # told, or harmless
            mag.load("zoo/mine")


def test_an_entrys_options_begin_a_run(kept):
    assert base_config(zoo.Path("zoo/mine")) == zoo.config_at(zoo.Path("zoo/mine"))


def test_an_entry_has_no_data_to_diagnose():
    with pytest.raises(UsageError, match=r"zoo/3s_vs_3z-mag holds weights and no data to compare with"):
        dispatch(["diagnose", "zoo/3s_vs_3z-mag"])


def test_an_entry_of_another_version_is_refused(kept):
    file = kept / "config.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps({**told, "options": {**told["options"], "networks.depth": 3}}))
    with pytest.raises(UsageError, match=r"made by another program version \(it has the option networks.depth\)"):
        mag.load("zoo/mine")
    file.write_text(json.dumps({**told, "options": {**told["options"], "networks.hidden": 8}}))
    with pytest.raises(UsageError, match=r"network.encoder.weight is \[4, 8\] here and \[4, 16\] there"):
        mag.load("zoo/mine")


def test_options_that_are_new_have_their_published_value(kept):
    file = kept / "config.json"
    told = json.loads(file.read_text())
    del told["options"]["learning.clip"]
    file.write_text(json.dumps(told))
    assert zoo.config_at(zoo.Path("zoo/mine")).learning.clip == 0.2


def test_weights_of_all_modules_come_back(tmp_path):
    """MAG's models, model reward, actor and critic; the moving average takes the place of both weights."""
    _, state = set_up(config("mag", workers=1))
    arrays = weights(state.learner, 0)
    assert {name.split(".")[0] for name in arrays} == {"models", "model_reward", "policy"}
    write_weights(tmp_path / "weights.npz", {name: array + 0.25 for name, array in arrays.items()})
    back = with_weights(state.learner, tmp_path / "weights.npz")
    for part, before in ((back.models.params, state.learner.models.params), (back.models.ema.params, None)):
        before = state.learner.models.weights if before is None else before
        for new, old in zip(jax.tree.leaves(part), jax.tree.leaves(before), strict=True):
            if hasattr(old, "shape"):
                np.testing.assert_allclose(new, old + 0.25, atol=2e-3)
    assert jax.tree.structure(back) == jax.tree.structure(state.learner)


def test_numbers_beyond_half_precision_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"w holds numbers beyond half precision"):
        write_weights(tmp_path / "weights.npz", {"w": np.array([1.0, 7e4], np.float32)})


@pytest.mark.parametrize("algo", ["mag", "mamba"])
def test_the_command_names_what_differs(algo):
    usual = default_config(algo, "smac_jax/2s3z", "small", "tuned", spec=spec("smac_jax/2s3z"))
    begin = f"mag train --env smac_jax/2s3z --algo {algo} --size small --recipe tuned --seed 0 --steps 100000"
    assert command(usual) == begin
    assert command(override(usual, {"ppo.gamma": 0.995})) == f"{begin} --ppo.gamma 0.995"
    other = override(usual, {"exploration.attacks_as_one": True})
    assert command(other) == f"{begin} --exploration.attacks-as-one true"


@pytest.mark.parametrize("name", zoo.names() or [pytest.param("none", marks=pytest.mark.skip("the zoo is empty"))])
def test_the_packages_entries_are_read(name):
    loaded = load_run(zoo.Path("zoo") / name)
    assert loaded.progress.slowest == loaded.progress.env_steps[0] > 0
    assert zoo.entry(zoo.Path("zoo") / name).weights.stat().st_size <= 1_000_000
    assert size_of(loaded.state.learner) < 40e6  # no room for a D_e, which takes up to a gigabyte


@pytest.mark.parametrize("name", zoo.names())
def test_the_packages_entries_act(name):
    """From observations alone, though G2A has learned with the global state."""
    policy = mag.load(f"zoo/{name}")
    action = policy.act(np.zeros((policy.spec.n_agents, policy.spec.obs_dim)), first=True)
    assert action.shape == (policy.spec.n_agents,)
