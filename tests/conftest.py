"""Settings of all tests: programs compile quickly and are kept between runs, and no accelerator is needed."""

import os

import jax
import pytest

from mag.runtime import setup

# Compiled in two thirds of the time, to programs that run slower; the second line is for processes that tests start.
jax.config.update("jax_disable_most_optimizations", True)
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
setup(workers=4)


@pytest.fixture(scope="module")
def compile_once():
    """Runs of equal options share their algorithm and player, neither of which remembers, and so compiled programs."""
    import functools

    from mag.runs import setup

    make_player, player = setup.make_player, functools.cache(setup.make_player)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setup.registry, "make", functools.cache(setup.registry.make))
        patch.setattr(
            setup,
            "make_player",
            lambda config, content=None: make_player(config, content) if content else player(config),
        )
        yield
