"""The estimate of a run's memory: right about what dominates, and said before the run starts."""

import dataclasses

import pytest

from mag import envs, memory
from mag.config import CollectConfig, PlanningConfig
from mag.envs import EnvSpec
from mag.errors import UsageError
from mag.registry import ALGORITHMS, default_config, make

SPEC = EnvSpec("some/task", 3, 101, None, 10, 60, True, True)


def test_the_paper_preset_fits_a_small_machine():
    parts = memory.estimate(default_config("mag", "some/task", "paper"), SPEC)
    # D_e: 250 000 items of 3 agents x (101 x 4 + 10 + 2 x 4) + 12 = 1278 bytes.
    assert parts["replay"] == 250_000 * 1278
    assert sum(parts.values()) < 8 * 2**30


@pytest.mark.parametrize(
    ("planning", "num_seeds", "advice"),
    [
        (PlanningConfig(num_trajectories=10**9), 1, "planning.num_trajectories"),
        (PlanningConfig(), 10**6, "num_seeds"),
    ],
)
def test_a_run_that_cannot_fit_is_refused_with_what_to_lower(planning, num_seeds, advice):
    config = dataclasses.replace(default_config("mag", "some/task", "paper"), planning=planning)
    with pytest.raises(UsageError, match=advice):
        memory.check_memory(memory.estimate(config, SPEC), num_seeds)


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_algorithm_knows_what_it_takes(algo):
    env = envs.make("probe/memory")
    config = default_config(algo, "probe/memory", "debug")
    parts = make(config, env).memory()
    assert parts.keys() <= memory.ADVICE.keys() and all(size > 0 for size in parts.values())
    memory.check_memory(parts, config.num_seeds)
    collects = dataclasses.replace(config, collect=CollectConfig(num_envs=4, steps=10**9))
    if "segments" in parts:
        with pytest.raises(UsageError, match=r"collect\.num_envs|learning\.minibatches"):
            memory.check_memory(make(collects, env).memory(), 1)


def test_an_accelerator_or_container_limit_is_a_positive_number_of_bytes():
    assert memory.available() > 2**28
