"""Seeds side by side: in threads, in shares of threads, at once on an accelerator; and workers that share one."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mag import runtime
from mag.errors import UsageError
from mag.learning import optimise, parallel


def drift(key, state):
    """A random step of one seed's state, which holds floats and an integer."""
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
    again = parallel.over_seeds(drift, count, donate=("state",))(found_keys, found)[1]
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


@pytest.mark.parametrize("count", [1, 3, 4])
def test_seeds_take_threads_and_on_accelerators_equal_shares(count, monkeypatch):
    monkeypatch.setattr(runtime, "own_cores", lambda: 4)
    found = parallel.over_seeds(drift, 8)(parallel.seed_keys(0, 8), states(8))[1]
    assert len(found["x"].sharding.device_set) == 4
    accelerators(monkeypatch, count)
    at_once = parallel.over_seeds(drift, 8)(parallel.seed_keys(0, 8), states(8))[1]
    # Three cannot share 8 seeds equally; two can.
    assert len(at_once["x"].sharding.device_set) == (2 if count == 3 else count)
    np.testing.assert_allclose(at_once["x"], found["x"], rtol=1e-6)


def accelerators(monkeypatch, count):
    """JAX's first devices, taken for accelerators."""
    devices = jax.devices()[:count]
    monkeypatch.setattr(parallel.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(parallel.jax, "devices", lambda: devices)


@pytest.mark.parametrize(
    ("seeds", "workers", "devices", "grid"),
    [(1, 1, 8, (1, 1)), (1, 8, 8, (1, 8)), (4, 2, 8, (4, 2)), (6, 2, 8, (3, 2)), (5, 1, 4, (1, 1)), (4, 8, 2, (2, 1))],
)
def test_accelerators_take_a_worker_or_a_share_of_the_seeds(seeds, workers, devices, grid, monkeypatch):
    monkeypatch.setattr(parallel.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(parallel, "most_workers", lambda: devices)
    assert parallel.device_grid(seeds, workers) == grid


def test_jax_may_be_in_use_before_the_program_starts(monkeypatch):
    before = len(jax.devices())
    monkeypatch.setattr(runtime, "own_cores", lambda: before - 1)
    runtime.setup()
    assert len(jax.devices()) == before


@pytest.mark.parametrize("devices", [None, 1, 2, 4])
@pytest.mark.parametrize(("count", "workers"), [(1, 2), (2, 2), (1, 4), (6, 2), (9, 2)])
def test_workers_share_what_is_divided_and_agree_on_the_rest(count, workers, devices, monkeypatch):
    monkeypatch.setattr(runtime, "own_cores", lambda: 4)  # two seeds with two workers each, side by side
    if devices:
        accelerators(monkeypatch, devices)  # one for each worker, or one for all

    def find(key, whole, part):
        share = parallel.Workers(workers)
        here = {"parts": share.own_part(whole) * part, "keys": jax.random.key_data(share.own_key(key))[None]}
        return here | {"means": share.mean({"m": part.mean()})["m"][None]}

    whole = jnp.arange(8.0 * count).reshape(count, 8)
    shared = parallel.over_seeds(find, count, workers=workers, divided=("part",), divides=True)
    found = shared(parallel.seed_keys(0, count), whole, whole + 1)
    np.testing.assert_array_equal(found["parts"], whole * (whole + 1))
    np.testing.assert_array_equal(found["means"], np.tile((whole + 1).mean(1, keepdims=True), workers))
    assert len({tuple(key) for keys in np.asarray(found["keys"]) for key in keys}) == count * workers


def test_outside_there_is_one_worker_with_everything():
    key, batch = jax.random.key(3), jnp.arange(6)
    alone = parallel.ALONE
    assert alone.count == 1
    assert alone.own_key(key) is key and alone.own_part(batch) is batch and alone.mean(batch) is batch


def test_two_workers_take_the_step_of_the_whole_batch():
    """Least squares on 8 rows: a step on the workers' halves is the step on all."""
    rows = jax.random.normal(jax.random.key(0), (8, 3))
    trainable = optimise.Trainable.create({"w": jnp.ones(3)}, optax.sgd(0.1))

    def step(trainable, rows, workers=parallel.ALONE):
        def loss(params):
            mean = jnp.square(rows @ params["w"]).mean()
            return mean, {"loss": mean}

        return optimise.descend(trainable, loss, optax.sgd(0.1), workers=workers)

    def shared(trainable, rows):
        return step(trainable, rows, parallel.Workers(2))

    expected, metrics = step(trainable, rows)
    one_seed = jax.tree.map(lambda x: jnp.asarray(x)[None], trainable)
    found, found_metrics = parallel.over_seeds(shared, 1, workers=2, divided=("rows",))(one_seed, rows[None])
    np.testing.assert_allclose(found.params["w"][0], expected.params["w"], rtol=1e-6)
    np.testing.assert_allclose(found_metrics["loss"][0], metrics["loss"], rtol=1e-6)
    copies = [np.asarray(shard.data) for shard in found.params["w"].addressable_shards]
    assert len(copies) == 2 and np.array_equal(*copies)


class Walk:
    """A random walk of each seed, whose methods are compiled over seeds and workers."""

    def __init__(self, num_seeds, workers=1):
        self.num_seeds, self.workers = num_seeds, parallel.Workers(workers)
        self.traced = []

    @parallel.per_seed(donate=("place",))
    def step(self, key, place):
        """One step."""
        self.traced.append(place.shape)
        return place + jax.random.normal(key, place.shape)

    @parallel.per_seed(divides=True)
    def halves(self, key, whole):
        return jax.random.uniform(self.workers.own_key(key), (1,)), self.workers.own_part(whole)

    @parallel.per_seed(divided=("parts",))
    def total(self, parts):
        return self.workers.mean(parts.sum()) * self.workers.count


def test_a_method_per_seed_is_its_function_of_one_seed_over_all():
    walk, keys = Walk(3), parallel.seed_keys(0, 3)
    found = walk.step(keys, jnp.zeros((3, 2)))
    expected = jnp.stack([walk.step.of_one_seed(key, jnp.zeros(2)) for key in keys])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert set(walk.traced) == {(2,)}  # written for one seed
    np.testing.assert_array_equal(Walk.step(walk, keys, jnp.zeros((3, 2))), found)


def test_a_method_per_seed_is_compiled_once_for_each_instance():
    one, two = Walk(2), Walk(3)
    for _ in range(2):
        for walk in (one, two):
            walk.step(parallel.seed_keys(0, walk.num_seeds), jnp.zeros((walk.num_seeds, 2)))
    assert isinstance(one.step, parallel.Compiled) and one.step is one.step is not two.step
    assert one.step.function._cache_size() == two.step.function._cache_size() == 1
    assert len(one.traced) == len(two.traced) == 1
    assert Walk.step.__doc__ == "One step."


def test_what_is_compiled_ahead_is_traced_once_and_what_fails_there_fails_where_it_is_called():
    one, keys, place = Walk(2), parallel.seed_keys(0, 2), jnp.zeros((2, 3))
    with ThreadPoolExecutor(1) as threads:
        one.step.compile_ahead(threads, lambda: (keys, jax.eval_shape(lambda: place)))
        assert one.step.shapes(keys, place).shape == (2, 3)
        found = one.step(keys, place)
        assert found.shape == (2, 3) and one.traced == [(3,)]
        one.halves.compile_ahead(threads, lambda: (keys, "no array"))
        with pytest.raises(TypeError, match="as an abstract array"):
            one.halves(keys, "no array")
    two = Walk(2)
    begun, stopped = threading.Event(), threading.Event()
    threads = ThreadPoolExecutor(1)
    threads.submit(lambda: begun.set() or stopped.wait())
    two.step.compile_ahead(threads, lambda: (keys, found))
    begun.wait()
    threads.shutdown(wait=False, cancel_futures=True)
    stopped.set()
    assert two.step(keys, found).shape == (2, 3)  # what was called off is compiled by the call


def test_arguments_are_given_away_by_their_names():
    walk, keys, place = Walk(1), parallel.seed_keys(0, 1), jnp.zeros((1, 2))
    walk.step(keys, place)
    assert place.is_deleted() and not keys.is_deleted()
    with pytest.raises(ValueError, match="nowhere"):
        parallel.over_seeds(drift, 1, donate=("nowhere",))


def test_what_one_method_divides_another_takes_in_parts():
    walk = Walk(num_seeds=1, workers=2)
    drawn, parts = walk.halves(parallel.seed_keys(0, 1), jnp.arange(6.0)[None])
    np.testing.assert_array_equal(parts, [np.arange(6.0)])
    assert drawn.shape == (1, 2) and drawn[0, 0] != drawn[0, 1]  # a worker, a key
    # Sums of the halves are 3 and 12: their mean, twice, is the sum of all.
    np.testing.assert_array_equal(walk.total(parts), [15.0])


def test_more_workers_than_devices_are_refused():
    most = len(jax.devices())
    message = rf"workers is {most + 1}; here it can be at most {most} .*; give --workers {most}"
    with pytest.raises(UsageError, match=message):
        parallel.over_seeds(drift, 1, workers=most + 1)
