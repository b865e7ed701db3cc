"""Seeds side by side: in threads, in shares of threads, at once on an accelerator; and workers that share one."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mag import runtime
from mag.learning import optimise, parallel


def drift(key, state):
    """Something of one seed, with a key, a number and a whole number."""
    key, now = jax.random.split(key)
    return key, {"x": state["x"] + jax.random.normal(now, (3,)), "n": state["n"] + 1}


def states(count):
    return {"x": jnp.arange(3.0 * count).reshape(count, 3), "n": jnp.arange(count)}


@pytest.mark.parametrize("count", [1, 2, 9, 11])
def test_every_share_of_threads_gives_each_seed_its_own(count):
    keys = parallel.seed_keys(5, count)
    expected_keys, expected = jax.vmap(drift)(keys, states(count))
    found_keys, found = parallel.over_seeds(drift, count)(keys, states(count))
    np.testing.assert_array_equal(jax.random.key_data(found_keys), jax.random.key_data(expected_keys))
    np.testing.assert_allclose(found["x"], expected["x"], rtol=1e-6)
    np.testing.assert_array_equal(found["n"], expected["n"])
    again = parallel.over_seeds(drift, count, donate=(1,))(found_keys, found)[1]
    np.testing.assert_array_equal(again["n"], jnp.arange(count) + 2)


@pytest.mark.parametrize(
    ("seeds", "workers", "cores", "at_once"),
    [(1, 1, 2, 1), (8, 1, 2, 2), (8, 1, 6, 8), (9, 1, 2, 3), (11, 1, 2, 1), (3, 2, 2, 1), (4, 2, 4, 2), (5, 1, 64, 5)],
)
def test_seeds_take_equal_turns_in_threads_that_fill_the_cores(seeds, workers, cores, at_once, monkeypatch):
    monkeypatch.setattr(runtime, "own_cores", lambda: cores)
    assert runtime.seeds_at_once(seeds, workers) == at_once


@pytest.mark.parametrize(("options", "threads"), [("", 2), ("num_seeds=3", 3), ("workers=5", 5), ("num_seeds=8", 2)])
def test_jax_gets_the_threads_of_the_cores_or_of_what_runs_side_by_side(options, threads):
    script = (
        "import jax; from mag import runtime; runtime.own_cores = lambda: 2\n"
        f"runtime.setup({options}); print(len(jax.devices()))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == str(threads)


def test_seeds_take_threads_and_on_an_accelerator_one_program(monkeypatch):
    monkeypatch.setattr(runtime, "own_cores", lambda: 4)
    found = parallel.over_seeds(drift, 8)(parallel.seed_keys(0, 8), states(8))[1]
    assert len(found["x"].sharding.device_set) == 4
    monkeypatch.setattr(parallel.jax, "default_backend", lambda: "gpu")
    at_once = parallel.over_seeds(drift, 8)(parallel.seed_keys(0, 8), states(8))[1]
    assert len(at_once["x"].sharding.device_set) == 1
    np.testing.assert_allclose(at_once["x"], found["x"], rtol=1e-6)


def test_jax_may_be_in_use_before_the_program_starts(monkeypatch):
    before = len(jax.devices())
    monkeypatch.setattr(runtime, "own_cores", lambda: before - 1)
    runtime.setup()
    assert len(jax.devices()) == before


@pytest.mark.parametrize(("count", "workers"), [(1, 2), (2, 2), (1, 4), (6, 2), (9, 2)])
def test_workers_share_what_is_divided_and_agree_on_the_rest(count, workers, monkeypatch):
    monkeypatch.setattr(runtime, "own_cores", lambda: 4)  # two seeds with two workers each, side by side

    def find(key, whole, part):
        here = {"parts": parallel.own_part(whole) * part, "keys": jax.random.key_data(parallel.own_key(key))[None]}
        return here | {"means": parallel.mean_over_workers({"m": part.mean()})["m"][None]}

    whole = jnp.arange(8.0 * count).reshape(count, 8)
    shared = parallel.over_seeds(find, count, workers=workers, divided=(2,), divides=True)
    found = shared(parallel.seed_keys(0, count), whole, whole + 1)
    np.testing.assert_array_equal(found["parts"], whole * (whole + 1))
    np.testing.assert_array_equal(found["means"], np.tile((whole + 1).mean(1, keepdims=True), workers))
    assert len({tuple(key) for keys in np.asarray(found["keys"]) for key in keys}) == count * workers


def test_outside_there_is_one_worker_with_everything():
    key, batch = jax.random.key(3), jnp.arange(6)
    assert parallel.worker_count() == 1
    assert (
        parallel.own_key(key) is key
        and parallel.own_part(batch) is batch
        and parallel.mean_over_workers(batch) is batch
    )


def test_two_workers_take_the_step_of_the_whole_batch():
    """Least squares on 8 rows: a step on the workers' halves is the step on all."""
    rows = jax.random.normal(jax.random.key(0), (8, 3))
    fitted = optimise.trainable({"w": jnp.ones(3)}, optax.sgd(0.1))

    def step(fitted, rows):
        def loss(params):
            mean = jnp.square(rows @ params["w"]).mean()
            return mean, {"loss": mean}

        return optimise.descend(fitted, loss, optax.sgd(0.1))

    expected, metrics = step(fitted, rows)
    one_seed = jax.tree.map(lambda x: jnp.asarray(x)[None], fitted)
    found, found_metrics = parallel.over_seeds(step, 1, workers=2, divided=(1,))(one_seed, rows[None])
    np.testing.assert_allclose(found.params["w"][0], expected.params["w"], rtol=1e-6)
    np.testing.assert_allclose(found_metrics["loss"][0], metrics["loss"], rtol=1e-6)
    copies = [np.asarray(shard.data) for shard in found.params["w"].addressable_shards]
    assert len(copies) == 2 and np.array_equal(*copies)
