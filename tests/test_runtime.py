"""JAX's global settings."""

import jax
import pytest

from mag.errors import UsageError
from mag.runtime import set_precision, setup


def test_64_bits_switched_on_in_python_are_refused():
    jax.config.update("jax_enable_x64", True)
    try:
        with pytest.raises(UsageError, match="jax_enable_x64 is on, but everything here is computed in 32 bits"):
            setup()
    finally:
        jax.config.update("jax_enable_x64", False)


@pytest.mark.parametrize("value", ["1", "true", "True"])
def test_64_bits_asked_for_in_the_surroundings_are_refused(monkeypatch, value):
    monkeypatch.setenv("JAX_ENABLE_X64", value)
    with pytest.raises(UsageError, match=f"JAX_ENABLE_X64 is {value}, but everything here is computed in 32 bits"):
        setup()
    monkeypatch.setenv("JAX_ENABLE_X64", "0")
    setup()


@pytest.mark.parametrize("precision", ["float32", "tensorfloat32"])
def test_an_accelerator_multiplies_as_the_option_says_and_a_cpu_as_ever(monkeypatch, precision):
    before = jax.config.jax_default_matmul_precision
    try:
        set_precision(precision)
        assert jax.config.jax_default_matmul_precision == before
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
        set_precision(precision)
        assert jax.config.jax_default_matmul_precision == precision
    finally:
        jax.config.update("jax_default_matmul_precision", before)
