"""Independent runs trained side by side on one device: seeds are an axis of every array of a run."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Key

from mag.runtime import compile_options


def seed_keys(seed: int, num_seeds: int) -> Key[Array, " seeds"]:
    """One key for each of the seeds `seed`, `seed + 1`, ...: a seed's run does not depend on its neighbours."""
    return jax.vmap(jax.random.key)(seed + jnp.arange(num_seeds))


def first_seed(arrays: Any) -> Any:
    """Of all seeds, the first; inside `jit`, so that no more of a state is copied than is used."""
    return jax.tree.map(lambda x: x[0], arrays)


def over_seeds(function: Callable[..., Any], num_seeds: int, *, donate: tuple[int, ...] = ()) -> Callable[..., Any]:
    """Compile a function of one seed to take and return arrays with a leading seed axis.

    An accelerator runs the seeds at once (`vmap`). A CPU runs them in threads (JAX's devices on a CPU), each as if it
    were alone: small products do not fill several cores, and products with a seed axis are slower than as many
    without. Threads take equal shares: 8 seeds run in 8 threads, 9 in 3, 11 in turn, and where
    `mag.runtime.setup` was not called all of them in turn. Arguments in `donate` are consumed.
    """

    def one(*args: Any) -> Any:
        result = function(*first_seed(args))
        return jax.tree.map(lambda x: jnp.asarray(x)[None], result)

    def in_turn(*args: Any) -> Any:
        return jax.lax.map(lambda args: function(*args), args)

    options: dict[str, Any] = {"donate_argnums": donate, "compiler_options": compile_options()}
    if num_seeds == 1:
        return jax.jit(one, **options)
    if jax.default_backend() != "cpu":
        return jax.jit(jax.vmap(function), **options)
    threads = max(count for count in range(1, len(jax.devices()) + 1) if num_seeds % count == 0)
    mesh = jax.make_mesh((threads,), ("seeds",), (AxisType.Auto,), devices=jax.devices()[:threads])
    part = one if threads == num_seeds else in_turn
    seeds = jax.shard_map(part, mesh=mesh, in_specs=P("seeds"), out_specs=P("seeds"), check_vma=False)
    options["compiler_options"]["xla_cpu_multi_thread_eigen"] = False  # the seeds fill the cores
    by_seed = NamedSharding(mesh, P("seeds"))
    return jax.jit(seeds, in_shardings=by_seed, out_shardings=by_seed, **options)
