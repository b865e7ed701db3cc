"""The kinds of planners by name, with the options of each."""

import dataclasses

import pytest

from mag.algorithms.config import validate
from mag.algorithms.mag.algorithm import MAG
from mag.algorithms.registry import default_config
from mag.envs.probe import specs
from mag.errors import UsageError
from mag.learning.parallel import seed_keys
from mag.planners import elite, shooting
from mag.planners.config import EliteConfig, plan_function, plan_options, planner_config

MODULE = """
from dataclasses import dataclass
from mag.options import number
from mag.planners.config import PlannerConfig
from mag.planners.contract import Plan

@dataclass(frozen=True)
class Config(PlannerConfig):
    patience: int = number(3, least=1)

def plan(key, state, action, *, predict, act, score, patience):
    return Plan(predict(key, state, action), score(state)[None])
"""


def test_each_kind_has_its_function_and_its_options():
    assert plan_function(planner_config("shooting")) is shooting.plan
    assert plan_options(planner_config("shooting")) == {"num_trajectories": 5, "horizon": 10, "choice": "best"}
    assert plan_function(planner_config("elite")) is elite.plan
    assert plan_options(planner_config("elite")).keys() == {
        "num_trajectories", "horizon", "num_elites", "num_rounds"
    }  # fmt: skip
    assert plan_options(planner_config("none")) == {}


def test_a_method_takes_another_kind_with_that_kinds_options():
    config = default_config("mag", "smac_jax/corridor", "paper", planner="elite")
    assert isinstance(config.planner, EliteConfig)
    # Table 1 has L = 4 and H = 6 for this map.
    assert (config.planner.num_trajectories, config.planner.horizon) == (4, 6)
    assert default_config("mamba", "smac_jax/corridor", "paper", planner="shooting").planner.horizon == 6


def test_more_elites_than_trajectories_are_refused():
    config = default_config("mag", "smac_jax/corridor", "paper", planner="elite")
    planner = dataclasses.replace(config.planner, num_trajectories=2, num_elites=3)
    with pytest.raises(UsageError, match=r"num_elites is 3 and planner\.num_trajectories 2; the elites must be among"):
        validate(dataclasses.replace(config, planner=planner))


def test_a_planner_of_ones_own_is_found_by_its_module(tmp_path, monkeypatch):
    (tmp_path / "my_planner.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    config = planner_config("my_planner")
    assert (config.kind, plan_options(config)) == ("my_planner", {"patience": 3})
    assert plan_function(config).__module__ == "my_planner"


def test_a_planner_takes_its_own_options_and_returns_a_plan(tmp_path, monkeypatch):
    (tmp_path / "lacks_option.py").write_text(MODULE.replace("score, patience", "score"))
    (tmp_path / "returns_state.py").write_text(
        MODULE.replace(
            "return Plan(predict(key, state, action), score(state)[None])", "return predict(key, state, action)"
        )
    )
    (tmp_path / "returns_several.py").write_text(
        "import jax\n"
        + MODULE.replace(
            "return Plan(predict(key, state, action)",
            "return Plan(jax.tree.map(lambda x: x[None], predict(key, state, action))",
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=r"planner\.kind is lacks_option, whose `plan` does not take patience; every"):
        planner_config("lacks_option")
    for kind, message in (
        ("returns_state", r"the planner returns_state returned a PlannedState; it must return a `mag\.Plan`"),
        (
            "returns_several",
            r"returns_several returned a state with stoch int32\[1, \d+, \d+\] where `predict` returns int32\[",
        ),
    ):
        algorithm = MAG(default_config("mag", "probe/relay", "debug", planner=kind), specs()["relay"])
        state = algorithm.init.shapes(seed_keys(0, 1))
        with pytest.raises(UsageError, match=message):
            algorithm.rollouts.shapes(
                state.key, state.models.weights, state.model_reward.params, state.policy.actor.params, state.data
            )


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("shoting", r"planner\.kind is 'shoting' \(did you mean shooting\?\); there are none, shooting, elite"),
        ("no_such_module", r"planner\.kind is 'no_such_module'; there are none"),
        ("no_such.module", r"planner\.kind is 'no_such\.module'; there are none"),
        (".elite", r"planner\.kind is '\.elite' \(did you mean elite\?\)"),
        ("json", r"planner\.kind is json, but that module offers no function `plan`"),
        ("mag.planners.elite", r"mag\.planners\.elite, but that module offers no dataclass `Config` derived from"),
    ],
)
def test_modules_that_are_no_planners_are_refused(kind, message):
    with pytest.raises(UsageError, match=message):
        planner_config(kind)
