"""The estimate of a run's memory: right about what dominates, and said before the run starts."""

import dataclasses
import math
import os
from types import SimpleNamespace

import jax
import pytest

from mag import envs
from mag.algorithms.config import CollectConfig
from mag.algorithms.mag.config import PlanningConfig
from mag.algorithms.registry import ALGORITHMS, default_config, make
from mag.envs import EnvSpec
from mag.errors import UsageError
from mag.runs import footprint as memory
from mag.runtime import compile_options

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


def test_g2as_pairs_are_counted():
    # 64 environments x 65 items in 4 minibatches; of each pair of its 8 agents both directions of the LSTM keep
    # at least 4 gates of 16 numbers.
    env = "smax/3s5z_vs_3s6z"
    parts = make(default_config("g2a", env, "cpu"), envs.make(env)).memory()
    assert parts["learning"] > 64 * 65 // 4 * (8 * 7) * 2 * 4 * 16 * 4


@pytest.mark.slow
def test_g2as_estimate_is_right_to_a_factor_of_2():
    env = "smax/8m"
    algorithm = make(default_config("g2a", env, "cpu"), envs.make(env))
    state = jax.eval_shape(algorithm.init, jax.random.key(0))
    compiled = jax.jit(algorithm.iterate, compiler_options=compile_options()).lower(state).compile().memory_analysis()
    taken = compiled.temp_size_in_bytes + compiled.argument_size_in_bytes
    assert taken / 2 < sum(algorithm.memory().values()) < 2 * taken


@pytest.mark.parametrize(("limit", "most"), [("4096\n", 4096), ("max\n", math.inf), (None, math.inf)])
def test_a_run_may_take_what_its_container_may(tmp_path, monkeypatch, limit, most):
    file = tmp_path / "memory.max"
    if limit is not None:
        file.write_text(limit)
    monkeypatch.setattr(memory, "CONTAINER_LIMIT", file)
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory.available() == min(physical, most)


def test_a_run_may_take_what_its_accelerator_has(monkeypatch):
    device = SimpleNamespace(memory_stats=lambda: {"bytes_limit": 12345})
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [device])
    assert memory.available() == 12345
