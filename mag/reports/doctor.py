"""`mag doctor`: whether this machine has what the program needs, and what to do about missing parts."""

import importlib.metadata
import os
import platform
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from mag.algorithms.mag.method import TABLE_1
from mag.envs.starcraft import install
from mag.envs.starcraft.client import Game, GameError, protocol
from mag.errors import UsageError
from mag.runtime import cache_folder, cores_told, is_writable

OLDEST_PYTHON = (3, 11)
PACKAGES = ("jax", "jaxlib", "equinox", "optax", "flashbax", "orbax-checkpoint", "jaxmarl", "numpy")
LEAST_MEMORY = 4 * 2**30
"""Bytes of memory for the smaller presets and a laptop's other programs."""

State = Literal["ok", "differs", "missing", "optional"]


class Finding(NamedTuple):
    """What one check found."""

    part: str
    state: State
    """`differs`: works, but not as recommended; `optional`: missing, but not needed on this machine."""
    told: str
    """What the check saw."""
    advice: str = ""
    """What to do; empty if nothing."""


def examine() -> Iterator[Finding]:
    """All checks in order, each as soon as it is done; none raises."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python,
        _packages,
        _jax,
        _memory,
        _cache,
        _ffmpeg,
        _starcraft,
    )
    for check in checks:
        try:
            yield from check()
        except Exception as error:  # every fault is reported, and the next check follows
            name = check.__name__.strip("_")
            yield Finding(name, "missing", f"{type(error).__name__}: {error}", "mend that and run `mag doctor` again")


def is_well(findings: list[Finding]) -> bool:
    """Whether nothing is missing."""
    return all(finding.state != "missing" for finding in findings)


def format_finding(finding: Finding) -> str:
    """A finding in lines of 80 columns; longer words, such as paths, stay whole."""
    begin = f"{finding.state:8} {finding.part:10} "
    parts = [(begin, finding.told)] + ([(" " * len(begin) + "-> ", finding.advice)] if finding.advice else [])
    return "\n".join(
        line
        for start, text in parts
        for line in textwrap.wrap(
            text,
            80,
            initial_indent=start,
            subsequent_indent=" " * len(start),
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        yield Finding("python", "missing", f"{version}, too old", "install Python 3.11 or newer and mag with it")
    else:
        yield Finding("python", "ok", f"{version}, {sys.executable}")


def _packages() -> Iterator[Finding]:
    found, absent = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
    if absent:
        advice = "pip install models-as-agents, or in its repository: make setup"
        yield Finding("packages", "missing", f"there is no {', '.join(absent)}", advice)
    else:
        yield Finding("packages", "ok", ", ".join(found))


def _jax() -> Iterator[Finding]:
    import jax
    import jax.numpy as jnp

    devices = jax.devices()
    if float(jax.jit(lambda x: (x @ x).sum())(jnp.ones((8, 8)))) != 512.0:  # 8 * 8 sums of 8 ones
        yield Finding("jax", "missing", f"{devices[0].device_kind} gives wrong results", "reinstall jax and its driver")
        return
    if devices[0].platform != "cpu":
        yield Finding("jax", "ok", f"{len(devices)} x {devices[0].device_kind}")
    elif shutil.which("nvidia-smi"):
        advice = "pip install 'models-as-agents[cuda]' to train on the GPU"
        yield Finding("jax", "differs", "on the CPU, though there is an NVIDIA driver", advice)
    else:
        yield Finding("jax", "ok", f"on the CPU, {cores_told()}")


def _memory() -> Iterator[Finding]:
    from mag.runs.footprint import available

    memory = available()
    told = f"{memory / 2**30:.1f} GiB"
    if memory < LEAST_MEMORY:
        advice = "close other programs, or choose smaller options (collect.num_envs, replay.capacity, num_seeds)"
        yield Finding("memory", "differs", f"only {told}", advice)
    else:
        yield Finding("memory", "ok", told)


def _cache() -> Iterator[Finding]:
    folder = cache_folder()
    if is_writable(folder):
        yield Finding("cache", "ok", f"compiled programs are kept in {folder}")
    else:
        told = f"{folder} cannot be written, so every run compiles anew"
        yield Finding("cache", "differs", told, "set MAG_CACHE to a folder that can be written")


def _ffmpeg() -> Iterator[Finding]:
    found = shutil.which("ffmpeg")
    if found:
        yield Finding("ffmpeg", "ok", found)
    else:
        advice = "install ffmpeg if `mag watch` is to write .mp4; pages and .gif do not need it"
        yield Finding("ffmpeg", "optional", "not installed", advice)


def _starcraft() -> Iterator[Finding]:
    """The checks of the game; they stop at the first missing part."""
    wanted = "SC2PATH" in os.environ
    try:
        root = install.game_folder()
    except UsageError as error:
        advice = "" if wanted else "only environments starcraft/... need it"
        yield Finding("starcraft", "missing" if wanted else "optional", str(error), advice)
        return
    try:
        protocol()
        import websockets  # noqa: F401
    except (ImportError, UsageError):
        advice = "pip install 'models-as-agents[starcraft]'"
        yield Finding("starcraft", "missing", "the packages pys2clientprotocol and websockets", advice)
        return
    yield from _game(root)


def _game(root: Any) -> Iterator[Finding]:
    try:
        game = install.find_game()
    except UsageError as error:
        yield Finding("starcraft", "missing", str(error), install.WHERE)
        return
    told = f"{game.version} in {root}"
    yield Finding("starcraft", "differs" if game.difference else "ok", told, game.difference or "")
    there = sorted(path.stem for path in (root / "Maps" / install.MAPS).glob("*.SC2Map"))
    absent = [name for name in TABLE_1 if name not in there]
    if absent:
        advice = f"unpack SMAC's maps into {root / 'Maps' / install.MAPS}"
        yield Finding("maps", "missing", f"there is no {', '.join(absent)}", advice)
    else:
        yield Finding("maps", "ok", f"{len(there)} in {root / 'Maps' / install.MAPS}, the paper's eight among them")
    yield from _start(game)
    playable = [name for name in TABLE_1 if name in there]
    if playable:
        yield from _play("3s_vs_3z" if "3s_vs_3z" in playable else playable[0])


def _start(game: install.Install) -> Iterator[Finding]:
    """Whether the game starts and answers."""
    begin = time.monotonic()
    try:
        running = Game(game)
    except GameError as error:
        advice = f"start {game.program} by hand and read what it says; libraries may be missing"
        yield Finding("start", "missing", str(error), advice)
        return
    try:
        answer = running.request("ping")
        seconds = time.monotonic() - begin
        yield Finding("start", "ok", f"answers after {seconds:.1f} s as version {answer.game_version}")
    except GameError as error:
        yield Finding("start", "missing", str(error), "start the game by hand and read what it says")
    finally:
        running.close()


def _play(map_name: str) -> Iterator[Finding]:
    """Whether an episode starts on a map and takes steps."""
    import numpy as np

    from mag.envs import starcraft

    env = starcraft.make(map_name)
    try:
        env.reset(0)
        stop = np.ones(env.spec.n_agents, np.int32)
        env.step(stop)
        begin = time.monotonic()
        env.step(stop)
        yield Finding("play", "ok", f"starcraft/{map_name} plays a step in {1000 * (time.monotonic() - begin):.0f} ms")
    except (GameError, UsageError) as error:
        yield Finding(
            "play", "missing", str(error), f"install the game's version 4.10 and SMAC's own {map_name}.SC2Map"
        )
    finally:
        env.close()
