"""Seeds trained side by side, and workers that share the learning of one seed.

Every array of a run has a seed axis. A seed may have several workers, each on a JAX device of its own (on a CPU a
thread, elsewhere an accelerator if there are enough): every worker holds all of the seed's state, draws its own part of
every batch and applies the workers' mean gradient. Computation that is not divided is repeated by every worker.
"""

import contextlib
import inspect
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, Generic, NamedTuple, ParamSpec, TypeVar, overload

import jax
import jax.flatten_util
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jax.stages import Wrapped
from jaxtyping import Array, Key, PRNGKeyArray

from mag.errors import UsageError
from mag.runtime import MOST_THREADS, compile_options, seeds_at_once

AXIS = "workers"

Args = ParamSpec("Args")
Result = TypeVar("Result")


def seed_keys(seed: int, num_seeds: int) -> Key[Array, " seeds"]:
    """One key for each of the seeds `seed`, `seed + 1`, ...: a seed's run does not depend on its neighbours."""
    return jax.vmap(jax.random.key)(seed + jnp.arange(num_seeds))


def first_seed(arrays: Any) -> Any:
    """The first seed's part of arrays. Inside `jit` only the parts that are used are copied."""
    return jax.tree.map(lambda x: x[0], arrays)


@dataclass(frozen=True)
class Workers:
    """The workers that share one seed. A count above 1 is valid only inside a function compiled by `over_seeds`."""

    count: int = 1

    def own_key(self, key: PRNGKeyArray) -> PRNGKeyArray:
        """The worker's own key, for its own part of a batch; a single worker keeps the key as it is."""
        return key if self.count == 1 else jax.random.fold_in(key, jax.lax.axis_index(AXIS))

    def own_part(self, batch: Array) -> Array:
        """The worker's own part of a batch that every worker holds; `count` divides its first axis."""
        if self.count == 1:
            return batch
        size = len(batch) // self.count
        return jax.lax.dynamic_slice_in_dim(batch, jax.lax.axis_index(AXIS) * size, size)

    def mean(self, arrays: Any) -> Any:
        """The mean of the workers' arrays."""
        if self.count == 1:
            return arrays
        flat, unravel = jax.flatten_util.ravel_pytree(arrays)  # one all-reduce, not one for each array
        return unravel(jax.lax.pmean(flat, AXIS))


ALONE = Workers(1)


def most_workers() -> int:
    """The greatest number of workers of a seed with a JAX device each (on a CPU a thread)."""
    return len(jax.devices())


class Grid(NamedTuple):
    """The devices that compute a run."""

    seeds: int
    """Seeds computed at once on separate devices. Further seeds take turns or, on accelerators, share a device as one
    array."""
    workers: int
    """Devices of a seed: one for each worker, or one for all."""


def device_grid(num_seeds: int, workers: int) -> Grid:
    """How seeds and their workers are laid over JAX's devices.

    A CPU has a thread for each worker, and as few seeds at once as fill its cores. Several accelerators take a
    worker each, or equal numbers of seeds; if a seed has more workers than there are accelerators, one accelerator
    computes all of its workers, with the same result. Several processes (`mag.learning.hosts`) have a worker on each of
    their devices. Raises UsageError where a CPU has too few threads, or processes hold more or fewer devices.
    """
    most, processes = most_workers(), jax.process_count()
    if processes > 1:
        if workers != most:
            held = f"the {processes} processes of this run have {most} devices"
            raise UsageError(f"workers is {workers}, and {held}; give --workers {most}")
        return Grid(1, workers)
    if jax.default_backend() == "cpu":
        if workers > MOST_THREADS:
            raise UsageError(f"workers is {workers}; on a CPU it can be at most {MOST_THREADS}")
        if workers > most:
            why = "call `mag.runtime.setup(workers=...)` before JAX is used"
            raise UsageError(f"workers is {workers}; here it can be at most {most} ({why}); give --workers {most}")
        return Grid(seeds_at_once(num_seeds, workers, most), workers)
    apart = workers if workers <= most else 1
    return Grid(max(count for count in range(1, most // apart + 1) if num_seeds % count == 0), apart)


def over_seeds(
    function: Callable[..., Any],
    num_seeds: int,
    *,
    workers: int = 1,
    donate: tuple[str, ...] = (),
    divided: tuple[str, ...] = (),
    divides: bool = False,
    runs_once: bool = False,
) -> Wrapped:
    """Compile a function of one seed to take and return arrays with a leading seed axis.

    An accelerator runs all of its seeds at once (`vmap`). A CPU runs each seed by itself, in threads (JAX's CPU
    devices): small products do not fill several cores, and products with a seed axis are slower than as many without.
    Threads take equal numbers of seeds, and there are as few as fill the cores: on two cores 8 seeds run in 2 threads,
    9 in 3, 11 one after another; without `mag.runtime.setup`, all run one after another.

    Arguments named in `donate` are consumed. Arguments named in `divided`, and the result if `divides`, are sharded
    over a seed's workers along their first axis; all else is replicated. With `runs_once`, compilation is shorter and
    the code slower. Raises UsageError for more workers than a CPU has threads.
    """
    grid = device_grid(num_seeds, workers)
    names = list(inspect.signature(function).parameters)
    title = getattr(function, "func", function).__name__
    if grid.workers < workers:
        function = _on_one_device(function, workers, tuple(name in divided for name in names), divides)

    def one(*args: Any) -> Any:
        result = function(*first_seed(args))
        return jax.tree.map(lambda x: jnp.asarray(x)[None], result)

    def in_turn(*args: Any) -> Any:
        return jax.lax.map(lambda args: function(*args), args)

    many = in_turn if jax.default_backend() == "cpu" else jax.vmap(function)
    part = one if grid.seeds == num_seeds else many
    part.__name__ = title  # in profiles
    options: dict[str, Any] = {
        "donate_argnums": tuple(names.index(name) for name in donate),
        "compiler_options": compile_options(runs_once=runs_once),
    }
    if grid.seeds * grid.workers == 1:
        return jax.jit(part, **options)
    return _over_devices(part, grid, tuple(name in divided for name in names), divides, options)


def _over_devices(
    part: Callable[..., Any], grid: Grid, divided: tuple[bool, ...], divides: bool, options: dict[str, Any]
) -> Wrapped:
    """Compile a function of one device's seeds and worker over a grid of devices, with `jax.jit`'s options."""
    axes = (AxisType.Auto, AxisType.Auto)
    mesh = jax.make_mesh(grid, ("seeds", AXIS), axes, devices=jax.devices()[: grid.seeds * grid.workers])
    whole, parted = PartitionSpec("seeds"), PartitionSpec("seeds", AXIS)
    takes = tuple(parted if split else whole for split in divided)
    gives = parted if divides else whole
    seeds = jax.shard_map(part, mesh=mesh, in_specs=takes, out_specs=gives, check_vma=False)
    if jax.default_backend() == "cpu":
        options["compiler_options"]["xla_cpu_multi_thread_eigen"] = False  # seeds and workers fill the cores
    placed = jax.tree.map(
        lambda spec: NamedSharding(mesh, spec), (takes, gives), is_leaf=lambda x: isinstance(x, PartitionSpec)
    )
    return jax.jit(seeds, in_shardings=placed[0], out_shardings=placed[1], **options)


def _on_one_device(
    function: Callable[..., Any], workers: int, divided: tuple[bool, ...], divides: bool
) -> Callable[..., Any]:
    """A function of one seed that computes all workers on one device, as an axis of its arrays."""

    def apart(x: Array) -> Array:
        return x.reshape(workers, -1, *x.shape[1:])

    def together(x: Array) -> Array:
        return x.reshape(-1, *x.shape[2:]) if divides else x[0]

    def of_all(*args: Any) -> Any:
        parts = [jax.tree.map(apart, arg) if split else arg for arg, split in zip(args, divided, strict=True)]
        axes = tuple(0 if split else None for split in divided)
        result = jax.vmap(function, axes, axis_name=AXIS, axis_size=workers)(*parts)
        return jax.tree.map(together, result)

    return of_all


class Compiled(Generic[Args, Result]):
    """A method of one instance, compiled over the seeds and workers of that instance."""

    def __init__(self, of_one_seed: Callable[Args, Result], function: Wrapped) -> None:
        self.of_one_seed = of_one_seed
        """The method itself, not compiled, on arrays without a seed axis."""
        self.function = function
        self._ahead: Future[Any] | None = None

    def __call__(self, *args: Args.args, **kwargs: Args.kwargs) -> Result:
        if self._ahead is not None:
            with contextlib.suppress(CancelledError):
                self._ahead.exception()  # waits; what failed there fails below again
            self._ahead = None
        return self.function(*args, **kwargs)

    def compile_ahead(self, threads: Executor, args: Callable[[], tuple[Any, ...]]) -> None:
        """Compile in one of `threads` for arrays of the shapes that `args` returns there; the next call waits for it.

        JAX keeps what is compiled so, and the call finds it.
        """
        self._ahead = threads.submit(lambda: self.function.lower(*args()).compile())

    def shapes(self, *args: Args.args, **kwargs: Args.kwargs) -> Result:
        """The result's shapes, for arrays or shapes `args`."""
        return self.function.trace(*args, **kwargs).out_info


def per_seed(
    *, donate: tuple[str, ...] = (), divided: tuple[str, ...] = (), divides: bool = False, runs_once: bool = False
) -> "Callable[[Callable[Concatenate[Any, Args], Result]], PerSeed[Args, Result]]":
    """Declare that a method is written for one seed and runs compiled over all seeds and workers (`over_seeds`).

    The instance needs `num_seeds` and `workers`. Calls take positional arguments only; `donate` and `divided` hold the
    names that these arguments have in the method.
    """
    options = {"donate": donate, "divided": divided, "divides": divides, "runs_once": runs_once}
    return lambda method: PerSeed(method, options)


class PerSeed(Generic[Args, Result]):
    """The descriptor behind `per_seed`: compiles at the first access, then the compiled method shadows it."""

    def __init__(self, method: Callable[Concatenate[Any, Args], Result], options: dict[str, Any]) -> None:
        self.method, self.options = method, options
        self.__doc__ = method.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __call__(self, instance: Any, *args: Args.args, **kwargs: Args.kwargs) -> Result:
        """The compiled method of the instance, called through its class."""
        return getattr(instance, self.name)(*args, **kwargs)

    @overload
    def __get__(self, instance: None, owner: type) -> "PerSeed[Args, Result]": ...

    @overload
    def __get__(self, instance: Any, owner: type) -> Compiled[Args, Result]: ...

    def __get__(self, instance: Any, owner: type) -> "PerSeed[Args, Result] | Compiled[Args, Result]":
        if instance is None:
            return self
        of_one_seed: Callable[Args, Result] = partial(self.method, instance)
        function = over_seeds(of_one_seed, instance.num_seeds, workers=instance.workers.count, **self.options)
        compiled = Compiled(of_one_seed, function)
        instance.__dict__[self.name] = compiled
        return compiled
