"""Settings of all tests: programs compile quickly and are kept between runs, and no accelerator is needed."""

import os

import jax
import pytest

from mag.runtime import setup

# Compiled in two thirds of the time, to programs that run slower; the second line is for processes that tests start.
jax.config.update("jax_disable_most_optimizations", True)
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
setup(workers=4)
jax.devices()  # are counted now, before a test resolves a run of fewer workers


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", default="1/1", metavar="K/N", help="every N-th of the selected tests, from the K-th on")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests of the asked share, after all other options have selected theirs."""
    share = config.getoption("--share")
    first, _, count = share.partition("/")
    if not (first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count)):
        raise pytest.UsageError(f"--share is {share}; give K/N, as 1/3, 2/3 or 3/3")
    shared = items[int(first) - 1 :: int(count)]
    others = set(items).difference(shared)
    config.hook.pytest_deselected(items=[item for item in items if item in others])
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
