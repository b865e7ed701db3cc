"""The estimate of a run's memory: right about what dominates, and said before the run starts."""

import math
import os
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from mag import envs
from mag.algorithms.registry import ALGORITHMS, default_config, make
from mag.envs import EnvSpec
from mag.errors import UsageError
from mag.options import override
from mag.runs import footprint as memory
from mag.runs.setup import set_up

SPEC = EnvSpec("some/task", 3, 101, None, 10, 60, True, True)


def footprint(algo="mag", env="some/task", size="paper", recipe="paper", spec=SPEC, changes=None):
    return make(override(default_config(algo, env, size, recipe), changes or {}), spec).footprint()


def test_the_papers_size_fits_a_small_machine():
    parts = footprint()
    # D_e: 250 000 items of 3 agents: observations 3 x 101 x 4, masks 3 x 10, lives 3, actions 3 x 4, and for the team
    # reward and continuation 2 x 4 and the start 1: 1266 bytes; and flashbax's counters.
    assert 250_000 * 1266 <= parts["replay"] < 250_000 * 1266 + 100
    assert sum(parts.values()) < 8 * 2**30
    # 600 agent-states side by side: 40 starts x 5 trajectories x 3 agents, each with at least the activations of three
    # layers of attention (query, key, value, output, two of the feed-forward net), 256 wide.
    assert parts["planning"] > 600 * 3 * 6 * 256 * 4


@pytest.mark.parametrize(
    ("changes", "num_seeds", "advice"),
    [({"planner.num_trajectories": 10**9}, 1, "planner.num_trajectories"), ({}, 10**6, "num_seeds")],
)
def test_a_run_that_cannot_fit_is_refused_with_what_to_lower(changes, num_seeds, advice):
    with pytest.raises(UsageError, match=advice):
        memory.check_memory(footprint(changes=changes), num_seeds)


def test_the_part_of_ones_own_method_is_named():
    with pytest.raises(UsageError, match=r"for ideas, but .*; lower the options that set its size, or num_seeds \(1\)"):
        memory.check_memory({"ideas": 2**60, "networks": 1}, 1)


def test_workers_each_have_a_data_set_and_networks_and_share_the_rest():
    one, four = (footprint(changes={"workers": count}) for count in (1, 4))
    assert four["replay"] == 4 * one["replay"] and four["rollouts"] == one["rollouts"]
    # Four copies of what is held, and of the gradient of a fourth of the batch each.
    assert one["networks"] < four["networks"] < 4 * one["networks"]


def test_real_sequences_count_beside_rollouts():
    tuned = {"rollout.windows": 288, "ppo.weigh_by_continuation": True}
    alone, beside = (footprint(changes={**tuned, "rollout.replayed": count})["rollouts"] for count in (0, 288))
    assert beside == 2 * alone
    # 288 starts x 15 steps, each twice: 3 agents with latent and recurrent state of (32 + 256) x 4 bytes, and 10 masks.
    assert alone == 2 * 288 * 15 * 3 * (288 * 4 + 10)


def test_the_predictions_of_ones_own_planner_are_counted():
    env = "probe/relay"
    default = default_config("mag", env, "debug", "tuned", planner="examples.your_planner")
    four, eight = (
        make(override(default, {"planner.num_predictions": count}), envs.spec(env)).footprint() for count in (4, 8)
    )
    assert eight == {**four, "planning": 2 * four["planning"]}


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_algorithm_knows_what_it_takes(algo):
    spec = envs.spec("probe/memory")
    parts = footprint(algo, "probe/memory", "debug", "paper", spec)
    assert parts.keys() <= memory.ADVICE.keys() and all(size > 0 for size in parts.values())
    assert memory.check_memory(parts, 2) == 2 * sum(parts.values())
    if "segments" in parts:
        endless = footprint(algo, "probe/memory", "debug", "paper", spec, {"collect.steps": 10**9})
        with pytest.raises(UsageError, match=r"collect\.num_envs|learning\.minibatches"):
            memory.check_memory(endless, 1)


def test_g2as_pairs_are_counted():
    # 16 environments x 65 items in 4 minibatches; of each pair of its 8 agents both directions of the LSTM keep
    # at least 4 gates of 16 numbers.
    env = "smax/3s5z_vs_3s6z"
    parts = footprint("g2a", env, "small", "tuned", envs.spec(env))
    assert parts["learning"] > 16 * 65 // 4 * (8 * 7) * 2 * 4 * 16 * 4


@pytest.mark.slow
def test_g2as_estimate_is_right_to_a_factor_of_2():
    config = default_config("g2a", "smax/8m", "small", "tuned")
    setup, state = set_up(config)
    keys = jax.vmap(jax.random.key)(jnp.arange(1))
    agent = setup.algorithm.agent(state.learner)
    _, played = jax.eval_shape(setup.player.collect.function, keys, agent, state.players)
    learn = setup.algorithm.learn.function.lower(keys, state.learner, played, agent.epsilon)
    compiled = learn.compile().memory_analysis()
    taken = compiled.temp_size_in_bytes + compiled.argument_size_in_bytes
    assert taken / 2 < sum(setup.algorithm.footprint().values()) < 2 * taken


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
