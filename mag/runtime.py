"""How JAX runs here: the one place that touches its global settings."""

import contextlib
import os
import tempfile
from importlib.metadata import version
from pathlib import Path

from mag.errors import UsageError

MOST_THREADS = 8
"""Seeds times workers that a CPU runs side by side at most, a thread each (`mag.learning.parallel.over_seeds`)."""

PATIENCE = [f"--xla_cpu_collective_call_{what}_timeout_seconds=86400" for what in ("warn_stuck", "terminate")]
"""Workers wait for each other, on a busy machine for longer than the 40 s after which XLA ends the process. A version
that does not know these flags would not start, so they go to the one they were tried with."""


def setup(num_seeds: int = 1, workers: int = 1) -> None:
    """Give JAX its threads and a persistent compilation cache, with which a configuration's second run starts at once.

    The cache lies in `$MAG_CACHE`, else in the user's cache folder. Where that cannot be written there is no
    cache: slower, never an error. A thread is a device to JAX, whose pool grows with their number: with eight on two
    cores a run of two workers takes 1.4 times as long as with two, so there are no more than are needed.
    """
    if os.environ.get("JAX_ENABLE_X64", "0").lower() not in ("", "0", "false", "off", "no"):
        raise UsageError(
            f"JAX_ENABLE_X64 is {os.environ['JAX_ENABLE_X64']}, but everything here is computed in 32 bits; unset it"
        )
    # XLA's notes on cached kernels' machine features are not for users; errors still show.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if version("jaxlib").startswith("0.10.") and PATIENCE[0] not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = " ".join((os.environ.get("XLA_FLAGS", ""), *PATIENCE))
    import jax

    if jax.config.read("jax_enable_x64"):
        raise UsageError("jax_enable_x64 is on, but everything here is computed in 32 bits; leave it off")
    with contextlib.suppress(RuntimeError):  # JAX is in use already: seeds run in turn, with one worker
        threads = max(own_cores(), seeds_at_once(num_seeds, workers) * workers)
        jax.config.update("jax_num_cpu_devices", min(threads, MOST_THREADS))
    folder = cache_folder()
    if is_writable(folder):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def set_precision(precision: str) -> None:
    """How an accelerator multiplies float32 matrices: `float32`, or `tensorfloat32`, JAX's own default on GPUs."""
    import jax

    if jax.default_backend() != "cpu":
        jax.config.update("jax_default_matmul_precision", precision)


def compile_options() -> dict[str, int | bool]:
    """Options for `jax.jit`: on a CPU, LLVM's -O2, which compiles in half the time of -O3 to code as fast."""
    import jax

    return {"xla_backend_optimization_level": 2} if jax.default_backend() == "cpu" else {}


def own_cores() -> int:
    """The CPU's cores that were given to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_told() -> str:
    """The number of those cores in words: `1 core`, `2 cores`."""
    return f"{own_cores()} core{'s' if own_cores() != 1 else ''}"


def seeds_at_once(num_seeds: int, workers: int, most: int = MOST_THREADS) -> int:
    """How many seeds a CPU trains side by side, all in equal turns: the fewest that fill its cores.

    With their workers they take `most` threads at most, and where no number fills the cores there are as many as fit.
    """
    shares = [count for count in range(1, most // workers + 1) if num_seeds % count == 0] or [1]
    return next((count for count in shares if count * workers >= own_cores()), shares[-1])


def cache_folder() -> Path:
    """Where compiled programs are kept: `$MAG_CACHE`, else `mag/xla` in the user's cache folder."""
    if chosen := os.environ.get("MAG_CACHE"):
        return Path(chosen).expanduser()
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / "mag" / "xla"


def is_writable(folder: Path) -> bool:
    """Whether files can be made in `folder`, which is made if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
