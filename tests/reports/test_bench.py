"""The benchmarks count operations and seconds correctly; no test depends on how fast they are."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from mag.algorithms.mag.config import ModelsConfig, NetworksConfig
from mag.algorithms.mag.local_models import LocalModels
from mag.algorithms.mag.model_reward import ErrorReward
from mag.algorithms.registry import default_config
from mag.errors import UsageError
from mag.planners.config import ShootingConfig
from mag.reports import bench, operations, timing
from mag.runs.setup import set_up


def models():
    return LocalModels(jax.random.key(0), bench.REFERENCE_SPEC, NetworksConfig(), ModelsConfig())


def tick(monkeypatch):
    """Every reading of the benchmarks' clock is a second after the last one."""
    clock = itertools.count()
    for module in (bench, timing):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))


def test_dense_operations_of_one_prediction():
    # Recurrent input 1034 x 256, three layers of (768 + 256 + 256 + 256) x 256, GRU 2 x 256 x 768,
    # prior 256 x 256 + 256 x 1024; twice that many operations.
    weights = 1034 * 256 + 3 * 1536 * 256 + 2 * 256 * 768 + 256 * 256 + 256 * 1024
    assert operations.of_prediction(models()) == 2 * weights


def test_dense_operations_of_the_model_reward():
    model_reward = ErrorReward(jax.random.key(0), models(), hidden=256, layers=4)
    assert operations.dense(model_reward) == 2 * (1280 * 256 + 3 * 256 * 256 + 256)


def test_the_rate_of_an_environment_is_the_steps_played_by_the_seconds_taken(monkeypatch):
    played = []

    def measure(function, keys, **_):
        returns = jax.eval_shape(function, keys)
        played.append(returns.shape)
        return {"seconds": 0.5}

    monkeypatch.setattr(bench, "measure", measure)
    result = bench.env(("probe/counter",))
    # 3200 steps over all environments, but at least 10 of each: in half a second.
    assert played == [(1, 3200), (64, 50), (1024, 10)]
    assert result == {"probe/counter 1 envs": 6400, "probe/counter 64 envs": 6400, "probe/counter 1024 envs": 20480}


def test_a_measurement_is_of_one_update_and_pairs_it_with_the_machines_products(monkeypatch):
    tick(monkeypatch)
    monkeypatch.setattr(timing, "sgemm", lambda: lambda: 10.0)  # operations per second
    measured = timing.measure(lambda x: x + 1, jnp.zeros(3), flops=2.0, repeats=3, updates=4)
    # A second for four updates of 2 operations: each takes 0.25 s, in which the machine does 2.5.
    assert (measured["seconds"], measured["compile_seconds"]) == (0.25, 1)
    assert measured["effective_utilisation"] == pytest.approx(2 / 2.5)
    assert "effective_utilisation" not in timing.measure(lambda x: x + 1, jnp.zeros(3), flops=None, repeats=1)


def test_dense_operations_of_an_iteration(monkeypatch):
    monkeypatch.setattr(operations, "dense", lambda module: 1)  # each part of the networks counts as one operation
    planner = ShootingConfig(num_trajectories=2, horizon=3)
    config = replace(default_config("mag", "probe/memory", "debug", "tuned"), planner=planner)
    (algorithm, _, _), (state, _) = set_up(config)
    played = 4 * 8 * (1 + 1)  # 4 environments of 8 steps: observe, act
    fits = 2 * 24 * 3 + 2 * 24 * (1 + 3)  # 2 + 2 batches of 4 sequences of 6 steps
    observed = 24 + 64 * (8 + 4 + 1)  # the sequences to start from, and 64 real ones: burn-in, k, bootstrap
    step = 1 + 1 + 2 * 3 * (2 + 1) + 2 * 2  # act, outcome, L x H predictions (two parts) and scores, L (H - 1) actions
    imagined = 4 * (6 - 2) * 4  # 4 start states of each of 4 sequences, 4 steps
    learned = (imagined + 64 * 4) * (1 + 2 * 3)  # values, 2 epochs
    agents = algorithm.spec.n_agents
    assert operations.of_iteration(algorithm, state) == agents * (
        played + fits + 2 * (observed + imagined * step + learned)
    )


@pytest.mark.slow
def test_an_iteration_of_any_algorithm_is_timed(monkeypatch):
    tick(monkeypatch)
    result = bench.iteration("commnet", "probe/memory", "debug")
    assert (result["algo"], result["num_envs"]) == ("commnet", 4)
    assert "effective_utilisation" not in result
    # 4 environments of 8 items; an episode of `memory` is six items (two absorbing ones), four of them transitions.
    assert 16 <= result["env_steps"] <= 24
    assert result["seconds"] == 1 and 16 <= result["env_steps_per_second"] <= 24


def test_an_algorithm_where_none_is_asked_for_is_refused():
    with pytest.raises(UsageError, match="--algo is mamba, but `mag bench env` does not depend on it"):
        bench.run("env", algo="mamba")


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(UsageError, match="world-model"):
        bench.run("planing")
