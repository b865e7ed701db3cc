"""Methods by name or module path, and their options in every size and recipe."""

import dataclasses
import subprocess
import sys

import pytest

from mag import envs
from mag.algorithms.config import validate
from mag.algorithms.registry import (
    ALGORITHMS,
    RECIPES,
    SIZES,
    check_used,
    default_config,
    find,
    make,
    resolve_presets,
)
from mag.errors import UsageError
from mag.options import options, override, values

PRESETS = [(size, recipe) for size in SIZES for recipe in RECIPES]
METHOD = """
from dataclasses import dataclass
from mag.algorithms.config import RunConfig
from mag.algorithms.method import Method
from mag.options import number

@dataclass(frozen=True)
class Config(RunConfig):
    patience: int = number(3, least=1)

METHOD = Method("anything", Config, lambda config, spec: (config.patience, spec.name), sizes={"debug": {"patience": 1}})
"""


@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.parametrize(("size", "recipe"), PRESETS)
def test_every_size_goes_with_every_recipe(algo, size, recipe):
    config = default_config(algo, "smac_jax/2s3z", size, recipe)
    assert (config.algo, config.env, config.size, config.recipe) == (algo, "smac_jax/2s3z", size, recipe)
    validate(config)


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_size_paper_and_recipe_paper_are_the_published_numbers(algo):
    published = values(find(algo).config())
    found = values(default_config(algo, "my_tasks/corridor", "paper", "paper"))
    identity = ("algo", "env", "size", "recipe")
    assert {name: found[name] for name in found if name not in identity} == {
        name: published[name] for name in published if name not in identity
    }


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_size_shrinks_networks_and_leaves_published_rates(algo):
    small, paper = (values(default_config(algo, "smac_jax/2s3z", size, "paper")) for size in ("small", "paper"))
    changed = {name for name in paper if small[name] != paper[name]} - {"size"}
    assert any(name.startswith("networks.") for name in changed)
    kept = ("learning_rate", "optimiser", "entropy", "gamma", "gae_lambda", "clip", "num_envs", "precision", "dropout")
    assert not [name for name in changed if name.endswith(kept)]


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_recipe_leaves_the_networks_widths(algo):
    tuned, paper = (values(default_config(algo, "smac_jax/2s3z", "paper", recipe)) for recipe in ("tuned", "paper"))
    sizes = ("networks.hidden", "networks.heads", "networks.deterministic", "networks.categoricals", "batch_size")
    assert not [name for name in paper if name.endswith(sizes) and tuned[name] != paper[name]]
    assert (paper["precision"], tuned["precision"]) == ("float32", "tensorfloat32")


@pytest.mark.parametrize(
    ("asked", "device", "found"),
    [
        (("auto", "auto"), "cpu", ("small", "tuned")),
        (("auto", "auto"), "gpu", ("paper", "paper")),
        (("auto", "paper"), "cpu", ("small", "paper")),
        (("small", "auto"), "gpu", ("small", "tuned")),
        (("paper", "auto"), "cpu", ("paper", "paper")),
        (("debug", "paper"), "cpu", ("debug", "paper")),
    ],
)
def test_auto_follows_the_device_and_the_size(asked, device, found):
    assert resolve_presets(*asked, device) == found


def test_table_1_and_the_scale_of_rewards_belong_to_the_environment():
    def numbers(env, known):
        config = default_config("mag", env, "paper", "paper", spec=envs.spec(env) if known else None)
        return config.planner.num_trajectories, config.planner.horizon, config.models.reward_scale

    # Table 1 has L = 4 and H = 6 on corridor; elsewhere 5 and 10. SMAX's returns reach 2, SMAC's 20.
    assert numbers("smac_jax/corridor", known=True) == (4, 6, 1.0)
    assert numbers("smax/corridor", known=True) == (4, 6, 10.0)
    assert numbers("starcraft/corridor", known=False) == (4, 6, 1.0)
    assert numbers("my_tasks/corridor", known=False) == (5, 10, 1.0)
    assert default_config("g2a", "smax/2s3z", "paper", spec=envs.spec("smax/2s3z")).learning.reward_scale == 10.0


@pytest.mark.parametrize(
    ("env", "enemies", "team"),
    [
        ("corridor", 24, 6),
        ("2c_vs_64zg", 64, 2),
        ("3s5z_vs_3s6z", 9, 8),
        ("2s3z", 5, 5),
        ("3s_vs_4z", 4, 3),
        ("3s_vs_3z", 3, 3),
    ],
)
def test_the_tuned_recipe_follows_the_numbers_of_units(env, enemies, team):
    spec = envs.spec(f"smac_jax/{env}")
    for algo in ALGORITHMS:
        tuned, published = (default_config(algo, spec.name, "small", each, spec=spec) for each in RECIPES[::-1])
        assert tuned.collect.nearest_first is (enemies >= 4) and not published.collect.nearest_first
        if algo in ("mag", "mamba"):
            batches = (8, 144, 32, 240) if team >= 6 else (16, 288, 64, 500)
            names = ("replay.batch_size", "rollout.windows", "rollout.replayed", "ppo.minibatch")
            assert tuple(values(tuned)[name] for name in names) == batches
            assert default_config(algo, spec.name, "debug", "tuned", spec=spec).steps == 300
            assert tuned.steps == (200_000 if enemies >= 9 else 100_000)
            # Over the default steps the decay is the same: squared for half as many updates.
            assert tuned.ppo.learning_rate_decay ** (2 if enemies >= 9 else 1) == pytest.approx(0.99996, abs=1e-8)
            assert values(published)["ppo.minibatch"] == 500
            assert default_config(algo, spec.name, "paper", "tuned", spec=spec).ppo.minibatch == 2000


def test_mamba_is_mag_without_a_planner_at_its_own_rate():
    mamba = default_config("mamba", "smac_jax/2s3z", "paper")
    unplanned = default_config("mag", "smac_jax/2s3z", "paper", planner="none")
    assert values(mamba) == {**values(unplanned), "algo": "mamba", "models.learning_rate": 2e-4}


@pytest.mark.parametrize("offer", ["", "\ndef method(found=METHOD):\n    return found\n\ndel METHOD\n"])
def test_a_method_of_ones_own_is_found_by_its_module(tmp_path, monkeypatch, offer):
    name = f"my_method_{len(offer)}"
    (tmp_path / f"{name}.py").write_text(METHOD + offer)
    monkeypatch.syspath_prepend(tmp_path)
    config = default_config(name, "probe/two-step", "debug", "tuned")
    assert (config.algo, config.patience) == (name, 1)
    assert default_config(name, "probe/two-step", "small").patience == 3
    assert make(config, envs.spec("probe/two-step")) == (1, "probe/two-step")


@pytest.mark.parametrize(
    ("algo", "message"),
    [
        ("mambo", r"unknown algorithm 'mambo' \(did you mean mamba\?\); there are mag, mamba"),
        ("", "unknown algorithm ''; there are"),
        ("json.nothing", "unknown algorithm 'json.nothing'"),
        ("json", "'json': that module offers no `METHOD`"),
    ],
)
def test_methods_that_do_not_exist_are_refused(algo, message):
    with pytest.raises(UsageError, match=message):
        default_config(algo, "probe/two-step", "debug")


@pytest.mark.parametrize(
    ("algo", "planner", "name", "why"),
    [
        ("mag", "none", "model_reward.layers", "mag does not plan"),
        ("mamba", None, "model_reward.layers", "mamba does not plan"),
        ("commnet", None, "learning.critic_learning_rate", "commnet has no critic of its own"),
    ],
)
def test_numbers_without_a_use_are_refused(algo, planner, name, why):
    default = default_config(algo, "probe/two-step", "debug", planner=planner)
    used = dict.fromkeys((name,), 7)
    with pytest.raises(UsageError, match=why):
        check_used(override(default, used), default)


@pytest.mark.parametrize(
    ("algo", "changes", "why"),
    [
        ("mag", {"exploration.strength": 9, "exploration.leaning": 0.0}, "no effect while exploration.leaning is 0.0"),
        ("mag", {"models.reward_threshold": 3}, "no effect while models.reward_bins is 41"),
        ("mag", {"rollout.newest": 7, "rollout.replayed": 0}, "no effect while rollout.replayed is 0"),
        ("mag", {"rollout.burn_in": 7, "rollout.replayed": 0}, "rollout.windows is 0 and rollout.replayed is 0"),
        ("commnet", {"learning.epsilon_steps": 9}, "learning.epsilon is 0.0 and learning.epsilon_end is 0.0"),
        ("examples.your_world_model", {"networks.categoricals": 7}, "has a world model of its own"),
        ("examples.your_world_model", {"networks.stages": 2}, "has a world model of its own"),
        ("examples.your_world_model", {"models.end_factor": 2.0}, "has a world model of its own"),
    ],
)
def test_numbers_without_effect_are_refused(algo, changes, why):
    default = default_config(algo, "probe/two-step", "debug", "tuned")
    with pytest.raises(UsageError, match=why):
        check_used(override(default, changes), default)


def test_a_factor_on_ends_needs_joint_events():
    default = default_config("mamba", "probe/two-step", "debug", "paper")
    changes = {"models.end_factor": 1.5}
    with pytest.raises(UsageError, match=r"models\.end_factor is 1\.5 and networks\.joint_events false"):
        validate(override(default, changes))
    validate(override(default, changes | {"networks.joint_events": True}))


def test_numbers_take_effect_with_the_option_that_they_depend_on():
    default = default_config("mag", "probe/two-step", "debug", "tuned")
    used = {
        "exploration.leaning": 0.5,
        "exploration.strength": 9,
        "models.reward_bins": 0,
        "models.reward_threshold": 3,
    }
    check_used(override(default, used), default)


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_option_has_a_help(algo):
    for planner in ("none", "shooting", "elite"):
        found = options(default_config(algo, "probe/two-step", "debug", planner=planner))
        assert [option.name for option in found if not option.help] == []


def test_configurations_do_not_wait_for_jax():
    script = (
        "import sys; from mag.algorithms.config import validate\n"
        "from mag.algorithms.registry import ALGORITHMS, default_config\n"
        "for algo in ALGORITHMS: validate(default_config(algo, 'smac_jax/2s3z', 'small', 'paper'))\n"
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_heads_that_do_not_divide_the_width_are_refused():
    config = default_config("mag", "probe/two-step", "debug")
    networks = dataclasses.replace(config.networks, hidden=10, heads=4)
    with pytest.raises(UsageError, match=r"networks\.hidden is 10 and networks\.heads 4"):
        validate(dataclasses.replace(config, networks=networks))
