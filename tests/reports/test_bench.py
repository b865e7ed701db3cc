"""The benchmarks count operations rightly and measure what they say; their figures are no tests."""

import jax
import pytest

from mag.algorithms.mag.config import ModelsConfig, NetworksConfig
from mag.algorithms.mag.local_models import LocalModels
from mag.algorithms.mag.model_reward import ModelReward
from mag.errors import UsageError
from mag.reports import bench


def models():
    return LocalModels(jax.random.key(0), bench.REFERENCE_SPEC, NetworksConfig(), ModelsConfig())


def test_dense_operations_of_one_prediction():
    # Recurrent input 1034 x 256, three layers of (768 + 256 + 256 + 256) x 256, GRU 2 x 256 x 768,
    # prior 256 x 256 + 256 x 1024; twice that many operations.
    weights = 1034 * 256 + 3 * 1536 * 256 + 2 * 256 * 768 + 256 * 256 + 256 * 1024
    assert bench._predict_flops(models()) == 2 * weights


def test_dense_operations_of_the_model_reward():
    model_reward = ModelReward(jax.random.key(0), models(), hidden=256, layers=4)
    assert bench._dense_flops(model_reward) == 2 * (1280 * 256 + 3 * 256 * 256 + 256)


def test_environments_are_timed():
    result = bench.env(("probe/counter",))
    assert all(result[f"probe/counter {n} envs"] > 0 for n in (1, 64, 1024))


@pytest.mark.slow
def test_an_iteration_of_any_algorithm_is_timed():
    result = bench.iteration("commnet", "probe/memory", "debug")
    assert (result["algo"], result["num_envs"]) == ("commnet", 4)
    assert 0 < result["env_steps"] <= 32 and result["env_steps_per_second"] > 0


def test_an_algorithm_where_none_is_asked_for_is_refused():
    with pytest.raises(UsageError, match="--algo is mamba, but `mag bench env` does not depend on it"):
        bench.run("env", algo="mamba")


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(UsageError, match="world-model"):
        bench.run("planing")
