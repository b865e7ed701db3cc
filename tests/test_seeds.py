"""Seeds side by side: in threads, in shares of threads, at once on an accelerator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag import runtime, seeds


def drift(key, state):
    """Something of one seed, with a key, a number and a whole number."""
    key, now = jax.random.split(key)
    return key, {"x": state["x"] + jax.random.normal(now, (3,)), "n": state["n"] + 1}


def states(count):
    return {"x": jnp.arange(3.0 * count).reshape(count, 3), "n": jnp.arange(count)}


@pytest.mark.parametrize("count", [1, 2, 9, 11])
def test_every_share_of_threads_gives_each_seed_its_own(count):
    keys = seeds.seed_keys(5, count)
    expected_keys, expected = jax.vmap(drift)(keys, states(count))
    found_keys, found = seeds.over_seeds(drift, count)(keys, states(count))
    np.testing.assert_array_equal(jax.random.key_data(found_keys), jax.random.key_data(expected_keys))
    np.testing.assert_allclose(found["x"], expected["x"], rtol=1e-6)
    np.testing.assert_array_equal(found["n"], expected["n"])
    again = seeds.over_seeds(drift, count, donate=(1,))(found_keys, found)[1]
    np.testing.assert_array_equal(again["n"], jnp.arange(count) + 2)


def test_eight_seeds_take_eight_threads_and_an_accelerator_one_program(monkeypatch):
    found = seeds.over_seeds(drift, 8)(seeds.seed_keys(0, 8), states(8))[1]
    assert len(found["x"].sharding.device_set) == 8
    monkeypatch.setattr(seeds.jax, "default_backend", lambda: "gpu")
    at_once = seeds.over_seeds(drift, 8)(seeds.seed_keys(0, 8), states(8))[1]
    assert len(at_once["x"].sharding.device_set) == 1
    np.testing.assert_allclose(at_once["x"], found["x"], rtol=1e-6)


def test_jax_may_be_in_use_before_the_program_starts(monkeypatch):
    jax.devices()
    monkeypatch.setattr(runtime, "CPU_DEVICES", 3)
    runtime.setup()
    assert len(jax.devices()) == 8
