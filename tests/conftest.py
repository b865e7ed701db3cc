"""Settings of all tests: compiled programs are kept between runs, and no accelerator is needed."""

import pytest

from mag.runtime import setup

setup(workers=4)


@pytest.fixture(scope="module")
def compile_quickly():
    """Programs compile in half the time, and run slower; `pytestmark = pytest.mark.usefixtures("compile_quickly")`."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
