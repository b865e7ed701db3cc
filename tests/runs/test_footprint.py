"""The estimate of a run's memory: right about what dominates, and said before the run starts."""

import dataclasses
import math
import os
from types import SimpleNamespace

import jax
import pytest

from mag import envs
from mag.algorithms.config import CollectConfig
from mag.algorithms.registry import ALGORITHMS, default_config, make
from mag.envs import EnvSpec
from mag.errors import UsageError
from mag.runs import footprint
from mag.runs.setup import make_player
from mag.runtime import compile_options

SPEC = EnvSpec("some/task", 3, 101, None, 10, 60, True, True)


def test_the_paper_preset_fits_a_small_machine():
    parts = make(default_config("mag", "some/task", "paper"), SPEC).footprint()
    # D_e: 250 000 items of 3 agents x (101 x 4 + 10 + 1 + 4) + 2 x 4 + 1 = 1266 bytes; where it goes on, 5 bytes.
    assert parts["replay"] == 250_000 * 1266 + 5
    assert sum(parts.values()) < 8 * 2**30


@pytest.mark.parametrize(
    ("planner", "num_trajectories", "num_seeds", "advice"),
    [
        (
            "shooting",
            10**9,
            1,
            r"for planning, .*; lower planner\.num_trajectories or rollout\.chunk_size, or num_seeds",
        ),
        ("elite", 10**9, 1, r"for planning, .*; lower planner\.num_trajectories or rollout\.chunk_size, or num_seeds"),
        ("shooting", 5, 10**6, r"; lower .*, or num_seeds \(1000000\)"),
    ],
)
def test_a_run_that_cannot_fit_is_refused_with_what_to_lower(planner, num_trajectories, num_seeds, advice):
    config = default_config("mag", "some/task", "paper", planner=planner)
    larger = dataclasses.replace(config.planner, num_trajectories=num_trajectories)
    parts = make(dataclasses.replace(config, planner=larger), SPEC).footprint()
    with pytest.raises(UsageError, match=advice):
        footprint.check_memory(parts, num_seeds)


def test_workers_each_have_a_data_set_and_networks_and_share_the_rest():
    config = default_config("mag", "some/task", "paper")
    one, four = (make(dataclasses.replace(config, workers=count), SPEC).footprint() for count in (1, 4))
    assert four["replay"] == 4 * one["replay"] and four["rollouts"] == one["rollouts"]
    # Four copies of what is held, and of the gradient of a fourth of the batch each.
    assert one["networks"] < four["networks"] < 4 * one["networks"]


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_algorithm_knows_what_it_takes(algo):
    spec = envs.spec("probe/memory")
    config = default_config(algo, "probe/memory", "debug")
    parts = make(config, spec).footprint()
    assert parts.keys() <= footprint.ADVICE.keys() and all(size > 0 for size in parts.values())
    footprint.check_memory(parts, config.num_seeds)
    collects = dataclasses.replace(config, collect=CollectConfig(num_envs=4, steps=10**9))
    if "segments" in parts:
        with pytest.raises(UsageError, match=r"collect\.num_envs|learning\.minibatches"):
            footprint.check_memory(make(collects, spec).footprint(), 1)


def test_g2as_pairs_are_counted():
    # 64 environments x 65 items in 4 minibatches; of each pair of its 8 agents both directions of the LSTM keep
    # at least 4 gates of 16 numbers.
    env = "smax/3s5z_vs_3s6z"
    parts = make(default_config("g2a", env, "small"), envs.spec(env)).footprint()
    assert parts["learning"] > 64 * 65 // 4 * (8 * 7) * 2 * 4 * 16 * 4


@pytest.mark.slow
def test_g2as_estimate_is_right_to_a_factor_of_2():
    env = "smax/8m"
    config = default_config("g2a", env, "small")
    algorithm, player, key = make(config, envs.spec(env)), make_player(config), jax.random.key(0)
    state = jax.eval_shape(algorithm.init.of_one_seed, key)
    agent = jax.eval_shape(algorithm.agent, state)
    players = jax.eval_shape(player.start.of_one_seed, key, agent)
    played = jax.eval_shape(player.collect.of_one_seed, key, agent, players)[1]
    learn = jax.jit(algorithm.learn.of_one_seed, compiler_options=compile_options())
    compiled = learn.lower(key, state, played, agent.epsilon).compile().memory_analysis()
    taken = compiled.temp_size_in_bytes + compiled.argument_size_in_bytes
    assert taken / 2 < sum(algorithm.footprint().values()) < 2 * taken


@pytest.mark.parametrize(("limit", "most"), [("4096\n", 4096), ("max\n", math.inf), (None, math.inf)])
def test_a_run_may_take_what_its_container_may(tmp_path, monkeypatch, limit, most):
    file = tmp_path / "memory.max"
    if limit is not None:
        file.write_text(limit)
    monkeypatch.setattr(footprint, "CONTAINER_LIMIT", file)
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert footprint.available() == min(physical, most)


def test_a_run_may_take_what_its_accelerator_has(monkeypatch):
    device = SimpleNamespace(memory_stats=lambda: {"bytes_limit": 12345})
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [device])
    assert footprint.available() == 12345
