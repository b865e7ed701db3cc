"""Settings of all tests: programs compile quickly and are kept between runs, and no accelerator is needed."""

import os

import jax
import pytest

from mag.runtime import setup

# Compiled in two thirds of the time, to programs that run slower; the second line is for processes that tests start.
jax.config.update("jax_disable_most_optimizations", True)
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
setup(workers=4)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", default="1/1", metavar="K/N", help="every N-th of the selected tests, from the K-th on")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests of the asked share, after all other options have selected theirs."""
    first, count = map(int, config.getoption("--share").split("/"))
    if not 1 <= first <= count:
        raise pytest.UsageError(f"--share is {first}/{count}; give a share of 1/{count} to {count}/{count}")
    shared = items[first - 1 :: count]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(shared)])
    items[:] = shared


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
