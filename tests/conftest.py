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
