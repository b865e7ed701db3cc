"""Independent runs trained side by side, and the cores that share the learning of one.

Seeds are an axis of every array of a run. On a CPU a seed may have several workers: each holds all of the run's
state, draws its own part of every batch and takes the step of their mean gradient. What is not divided, each of them
computes.
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Key, PRNGKeyArray

from mag.errors import UsageError
from mag.runtime import compile_options, seeds_at_once

WORKERS = "workers"


def seed_keys(seed: int, num_seeds: int) -> Key[Array, " seeds"]:
    """One key for each of the seeds `seed`, `seed + 1`, ...: a seed's run does not depend on its neighbours."""
    return jax.vmap(jax.random.key)(seed + jnp.arange(num_seeds))


def first_seed(arrays: Any) -> Any:
    """Of all seeds, the first; inside `jit`, so that no more of a state is copied than is used."""
    return jax.tree.map(lambda x: x[0], arrays)


def most_workers() -> int:
    """How many workers a seed can have here: as many as there are threads; on an accelerator one."""
    return len(jax.devices()) if jax.default_backend() == "cpu" else 1


def _check_devices(workers: int) -> None:
    """Raise UsageError where the machine cannot have so many workers."""
    if workers > (most := most_workers()):
        on_cpu = jax.default_backend() == "cpu"
        why = "call `mag.runtime.setup(workers=...)` before JAX is used" if on_cpu else "an accelerator has one"
        raise UsageError(f"workers is {workers}; here it can be at most {most} ({why}); give --workers {most}")


def worker_count() -> int:
    """How many workers share what is being computed; 1 outside `over_seeds`."""
    try:
        return jax.lax.axis_size(WORKERS)
    except NameError:
        return 1


def own_key(key: PRNGKeyArray) -> PRNGKeyArray:
    """The worker's own key, for its own part of a batch; of a single worker the key as it is."""
    return key if worker_count() == 1 else jax.random.fold_in(key, jax.lax.axis_index(WORKERS))


def own_part(batch: Array) -> Array:
    """The worker's own part of a batch that all of them hold; its first axis has to be a multiple of their number."""
    if worker_count() == 1:
        return batch
    size = len(batch) // worker_count()
    return jax.lax.dynamic_slice_in_dim(batch, jax.lax.axis_index(WORKERS) * size, size)


def mean_over_workers(arrays: Any) -> Any:
    """The mean of what each worker found."""
    if worker_count() == 1:
        return arrays
    flat, unravel = jax.flatten_util.ravel_pytree(arrays)  # one meeting of the workers, not one for each array
    return unravel(jax.lax.pmean(flat, WORKERS))


def over_seeds(
    function: Callable[..., Any],
    num_seeds: int,
    *,
    workers: int = 1,
    donate: tuple[int, ...] = (),
    divided: tuple[int, ...] = (),
    divides: bool = False,
) -> Callable[..., Any]:
    """Compile a function of one seed to take and return arrays with a leading seed axis.

    An accelerator runs the seeds at once (`vmap`). A CPU runs them in threads (JAX's devices on a CPU), each as if it
    were alone: small products do not fill several cores, and products with a seed axis are slower than as many
    without. Threads take equal shares, and no more of them than fill the cores: on two cores 8 seeds run in 2 threads,
    9 in 3, 11 in turn; all of them in turn where `mag.runtime.setup` was not told of them. Arguments in `donate` are
    consumed.

    Of the arguments in `divided`, and of the result where it `divides`, each of a seed's workers has its part of the
    first axis; the others are the same for all. Raises UsageError where there cannot be so many workers.
    """
    _check_devices(workers)

    def one(*args: Any) -> Any:
        result = function(*first_seed(args))
        return jax.tree.map(lambda x: jnp.asarray(x)[None], result)

    def in_turn(*args: Any) -> Any:
        return jax.lax.map(lambda args: function(*args), args)

    options: dict[str, Any] = {"donate_argnums": donate, "compiler_options": compile_options()}
    if jax.default_backend() != "cpu":
        return jax.jit(one if num_seeds == 1 else jax.vmap(function), **options)
    threads = seeds_at_once(num_seeds, workers, len(jax.devices()))
    part = one if threads == num_seeds else in_turn
    if threads * workers == 1:
        return jax.jit(part, **options)
    axes = (AxisType.Auto, AxisType.Auto)
    mesh = jax.make_mesh((threads, workers), ("seeds", WORKERS), axes, devices=jax.devices()[: threads * workers])
    whole, parted = P("seeds"), P("seeds", WORKERS)
    takes = tuple(parted if index in divided else whole for index in range(len(inspect.signature(function).parameters)))
    gives = parted if divides else whole
    seeds = jax.shard_map(part, mesh=mesh, in_specs=takes, out_specs=gives, check_vma=False)
    options["compiler_options"]["xla_cpu_multi_thread_eigen"] = False  # seeds and workers fill the cores
    placed = jax.tree.map(lambda spec: NamedSharding(mesh, spec), (takes, gives), is_leaf=lambda x: isinstance(x, P))
    return jax.jit(seeds, in_shardings=placed[0], out_shardings=placed[1], **options)
