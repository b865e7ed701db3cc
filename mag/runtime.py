"""JAX's global settings, made here and nowhere else."""

import contextlib
import functools
import os
import tempfile
from importlib.metadata import version
from pathlib import Path

from mag.errors import UsageError

MOST_THREADS = 8
"""Most threads on a CPU: one for each worker of each seed that trains at once (`mag.learning.parallel.over_seeds`)."""

PATIENCE = [f"--xla_cpu_collective_call_{what}_timeout_seconds=86400" for what in ("warn_stuck", "terminate")]
"""Flags that let workers wait a day for each other: by default XLA ends the process after 40 s, too soon on a busy
machine."""


COORDINATOR = "JAX_COORDINATOR_ADDRESS"
"""JAX's own variable with address and port of the first of several processes that train one run."""
PROCESSES = ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
"""Variables with the number of processes, and this one's, from 0."""


def setup(num_seeds: int = 1, workers: int = 1, *, joins: bool = False) -> None:
    """Give JAX its CPU threads and a compilation cache on disk, with which a configuration's second run starts at once.

    The cache lies in `cache_folder()`; if that cannot be written, there is no cache. JAX counts each thread as a
    device, and spare devices cost time: on two cores a run of two workers takes 1.4 times as long with eight devices
    as with two, so there are no more than needed. With `joins`, several processes share the workers if the variable
    `COORDINATOR` is set. Raises UsageError if JAX is set to 64 bits or the processes cannot be counted.
    """
    if os.environ.get("JAX_ENABLE_X64", "0").lower() not in ("", "0", "false", "off", "no"):
        raise UsageError(
            f"JAX_ENABLE_X64 is {os.environ['JAX_ENABLE_X64']}, but everything here is computed in 32 bits; unset it"
        )
    # XLA's notes on cached kernels' machine features are not for users; errors still show.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if is_tried() and PATIENCE[0] not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = " ".join((os.environ.get("XLA_FLAGS", ""), *PATIENCE))
    import jax

    if jax.config.read("jax_enable_x64"):
        raise UsageError("jax_enable_x64 is on, but everything here is computed in 32 bits; leave it off")
    processes = join() if joins and COORDINATOR in os.environ else 1
    with contextlib.suppress(RuntimeError):  # JAX is in use already: seeds run in turn, with one worker
        threads = max(own_cores(), seeds_at_once(num_seeds, workers) * workers)
        if processes > 1:
            threads = max(1, workers // processes)
        jax.config.update("jax_num_cpu_devices", min(threads, MOST_THREADS))
    folder = cache_folder()
    if is_writable(folder):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def join() -> int:
    """Start JAX in this process as one of several; returns how many there are. Raises UsageError where it cannot."""
    import jax

    try:
        count, number = (int(os.environ[name]) for name in PROCESSES)
        if not jax.distributed.is_initialized():
            jax.distributed.initialize(num_processes=count, process_id=number)
    except (KeyError, ValueError, RuntimeError) as error:
        given = ", ".join(f"{name} {os.environ.get(name, 'not set')}" for name in (COORDINATOR, *PROCESSES))
        raise UsageError(
            f"this process cannot join the others of its run ({given}; {str(error).partition(chr(10))[0]}); give the "
            "first process's address and port, how many there are and which this is, or unset all three"
        ) from error
    return count


def set_precision(precision: str) -> None:
    """Set how an accelerator multiplies float32 matrices: `float32`, or `tensorfloat32`, JAX's own default on GPUs."""
    import jax

    if jax.default_backend() != "cpu":
        jax.config.update("jax_default_matmul_precision", precision)


def compile_options(*, runs_once: bool = False) -> dict[str, int | bool]:
    """Options for `jax.jit`: on a CPU those that compile several times as fast as JAX's own to equally fast code.

    LLVM's -O2 takes half the time of -O3, and XLA's older emitters of fused loops half the time of the newer ones. What
    `runs_once` is compiled for longer than it runs: it is not optimised at all.
    """
    import jax

    if jax.default_backend() != "cpu":
        return {}
    older = {"xla_cpu_use_fusion_emitters": False} if is_tried() else {}
    return {"xla_backend_optimization_level": 0 if runs_once else 2} | older


@functools.cache
def is_tried() -> bool:
    """Whether XLA's flags and options were tried with this jaxlib: those that XLA does not know are errors."""
    return version("jaxlib").startswith("0.10.")


def own_cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_told() -> str:
    """The number of this process's cores in words: `1 core`, `2 cores`."""
    return f"{own_cores()} core{'s' if own_cores() != 1 else ''}"


def seeds_at_once(num_seeds: int, workers: int, most: int = MOST_THREADS) -> int:
    """How many seeds a CPU trains side by side: the smallest divisor of `num_seeds` that fills its cores.

    Seeds times workers is at most `most`; if no divisor fills the cores, it is the largest divisor that fits.
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
