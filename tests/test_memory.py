"""The estimate of a run's memory: right about what dominates, and said before the run starts."""

import dataclasses

import pytest

from mag import memory
from mag.config import PlanningConfig, default_config
from mag.envs import EnvSpec
from mag.errors import UsageError

SPEC = EnvSpec("some/task", 3, 101, None, 10, 60, True, True)


def test_the_paper_preset_fits_a_small_machine():
    parts = memory.estimate(default_config("mag", "some/task", "paper"), SPEC)
    # D_e: 250 000 items of 3 agents x (101 x 4 + 10 + 2 x 4) + 12 = 1278 bytes.
    assert parts["replay"] == 250_000 * 1278
    assert sum(parts.values()) < 8 * 2**30


def test_seeds_multiply_the_estimate():
    config = default_config("mag", "some/task", "cpu")
    three = memory.estimate(dataclasses.replace(config, num_seeds=3), SPEC)
    assert three == {part: 3 * size for part, size in memory.estimate(config, SPEC).items()}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"planning": PlanningConfig(num_trajectories=10**9)}, "planning.num_trajectories"),
        ({"num_seeds": 10**6}, "num_seeds"),
    ],
)
def test_a_run_that_cannot_fit_is_refused_with_what_to_lower(change, part):
    config = dataclasses.replace(default_config("mag", "some/task", "paper"), **change)
    with pytest.raises(UsageError, match=part):
        memory.check_memory(config, SPEC)


def test_an_accelerator_or_container_limit_is_a_positive_number_of_bytes():
    assert memory.available() > 2**28
