"""Options given by a user, as `mag train` and `mag.train` take them, made the configuration of a run."""

import pytest

from mag.algorithms.registry import default_config
from mag.envs import spec
from mag.errors import UsageError
from mag.options import override, values
from mag.runs.resolve import resolve, with_planner

SMALL = {"env": "smax/2s3z", "size": "small", "recipe": "tuned"}


def test_options_left_out_are_those_of_size_recipe_planner_and_environment():
    config = resolve({**SMALL, "planner.kind": "elite"})
    assert config == default_config("mag", "smax/2s3z", "small", "tuned", planner="elite", spec=spec("smax/2s3z"))
    assert config.models.reward_scale == 10.0


def test_text_and_numbers_are_the_same():
    given = {"seed": 3, "ppo.gamma": 0.5, "networks.joint_events": False, "steps": 1_000_000}
    text = {"seed": "3", "ppo.gamma": "0.5", "networks.joint_events": "false", "steps": "1e6"}
    assert resolve({**SMALL, **given}) == resolve({**SMALL, **text})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"env": 5}, "env: 5 is not text"),
        ({"algo": "mag", "planner": "elite"}, "planner is 'elite', but it is a group of options; set one of them: pl"),
        ({"planner.horizon": 0}, r"planner\.horizon is 0; it must be at least 1"),
        ({"algo": "commnet", "planner.horizon": 5}, "commnet does not plan and takes no option planner.horizon"),
        ({"algo": "commnet", "planner.kind": "elite"}, "commnet does not plan and takes no option planner.kind"),
        ({"planner.num_elites": 2}, r"planner\.num_elites belongs to planner\.kind elite, and the kind is shooting"),
        ({"learning.epsilon": 0.5}, r"mag has no option learning\.epsilon, only attention-ppo and commnet and g2a"),
        ({"planner.horizn": 5}, r"unknown option planner\.horizn \(did you mean planner\.horizon\?\)"),
        ({"env": "3s_vs_3z"}, "Did you mean 'smac_jax/3s_vs_3z'"),
    ],
)
def test_mistakes_are_refused_with_the_reason(given, message):
    with pytest.raises(UsageError, match=message):
        resolve({**SMALL, **given})


def test_a_runs_configuration_is_taken_whole():
    base = resolve({**SMALL, "planner.kind": "elite", "planner.num_elites": 1, "ppo.gamma": 0.5, "seed": 3})
    assert resolve({}, base) == base
    assert values(resolve({"ppo.gamma": 0.25}, base)) == {**values(base), "ppo.gamma": 0.25}


def test_of_a_run_elsewhere_only_what_was_chosen_is_taken():
    base = resolve({**SMALL, "ppo.gamma": 0.5, "seed": 3})
    # SMAX's rewards are scaled by 10, SMAC's are not.
    moved = resolve({"env": "smac_jax/2s3z"}, base)
    assert moved == resolve({**SMALL, "env": "smac_jax/2s3z", "ppo.gamma": 0.5, "seed": 3})
    assert (base.models.reward_scale, moved.models.reward_scale) == (10.0, 1.0)
    # Networks are 64 wide in size small and 16 in size debug.
    debug = resolve({"size": "debug"}, base)
    assert (debug.networks.hidden, debug.ppo.gamma, debug.seed) == (16, 0.5, 3)
    assert resolve({"algo": "mamba"}, base) == resolve({**SMALL, "algo": "mamba", "ppo.gamma": 0.5, "seed": 3})


def test_what_another_method_cannot_take_from_a_run_is_left_out_and_told():
    base = resolve({**SMALL, "planner.horizon": 7, "seed": 3, "exploration.strength": 1.5})
    told = []
    assert resolve({"algo": "commnet"}, base, note=told.append) == resolve({**SMALL, "algo": "commnet", "seed": 3})
    assert told == ["not taken from the run, because without use here: exploration.strength 1.5, planner.horizon 7"]
    assert resolve({}, resolve(SMALL), note=told.append) == resolve(SMALL) and len(told) == 1  # nothing was changed
    # MAMBA has the option and does not plan; recipe paper does not lean, so nothing uses the strength.
    assert resolve({"algo": "mamba"}, base, note=told.append).exploration.strength == 1.5
    assert resolve({"recipe": "paper"}, base, note=told.append).exploration.strength != 1.5
    assert [text.partition(": ")[2] for text in told[1:]] == ["planner.horizon 7", "exploration.strength 1.5"]
    hosted = resolve({**SMALL, "env": "pettingzoo/mpe.simple_spread_v3", "host.step_seconds": 30.0})
    assert resolve({"env": "probe/relay"}, hosted, note=told.append).host.step_seconds == 60.0
    assert told[-1].endswith("host.step_seconds 30.0")
    with pytest.raises(UsageError, match=r"commnet does not plan and takes no option planner\.horizon; leave it out"):
        resolve({"algo": "commnet", "planner.horizon": 5}, base)


def test_a_run_with_another_planner_keeps_its_other_options():
    base = resolve({**SMALL, "planner.horizon": 7, "ppo.gamma": 0.5})
    one_spec = spec("smax/2s3z")
    assert with_planner(base, {"planner.horizon": "2"}, one_spec) == override(base, {"planner.horizon": 2})
    other = with_planner(base, {"planner.kind": "elite", "planner.num_rounds": 3}, one_spec)
    assert other == resolve({**SMALL, "planner.kind": "elite", "planner.num_rounds": 3, "ppo.gamma": 0.5})
    with pytest.raises(UsageError, match=r"unknown option planner\.horizn"):
        with_planner(base, {"planner.horizn": 2}, one_spec)
    with pytest.raises(UsageError, match=r"planner\.horizon is 0; it must be at least 1"):
        with_planner(base, {"planner.horizon": 0}, one_spec)


def test_a_run_with_another_planner_does_not_ask_for_its_environment_again(monkeypatch):
    base = resolve({**SMALL, "planner.horizon": 7})
    one_spec = spec("smax/2s3z")
    monkeypatch.setattr("mag.envs.spec", None)
    assert with_planner(base, {"planner.horizon": 2}, one_spec).planner.horizon == 2
