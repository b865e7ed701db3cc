"""The weights that a learner's state acts and predicts with, in one file of arrays in half precision."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mag.errors import UsageError
from mag.learning.optimise import Trainable


def is_part(node: Any) -> bool:
    """Whether a node of a state is a module under training."""
    return isinstance(node, Trainable)


def named(path: Any, inner: Any) -> str:
    """The name of an array: its module's place in the state, and its own in the module."""
    return ".".join(jax.tree_util.keystr(each, simple=True, separator=".") for each in (path, inner))


def weights(learner: Any, index: int) -> dict[str, np.ndarray]:
    """One seed's weights, by name, of all modules in a learner's state `[seeds, ...]`."""
    return {
        named(path, inner): np.asarray(leaf[index])
        for path, part in jax.tree_util.tree_leaves_with_path(learner, is_leaf=is_part)
        if is_part(part)
        for inner, leaf in jax.tree_util.tree_leaves_with_path(eqx.filter(part.weights, eqx.is_array))
    }


def write_weights(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays, floats in half precision. Raises UsageError where a number is too large for that."""
    short = {}
    for name, array in arrays.items():
        is_float = np.issubdtype(array.dtype, np.floating)
        if is_float and not (np.abs(array) <= np.finfo(np.float16).max).all():
            raise UsageError(f"{name} holds numbers beyond half precision; the run has diverged, or nearly")
        short[name] = array.astype(np.float16) if is_float else array
    np.savez_compressed(file, allow_pickle=False, **short)


def with_weights(learner: Any, file: Path) -> Any:
    """A single seed's learner state with the weights in a file.

    Raises UsageError if the file cannot be read or holds other networks.
    """
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
            arrays = dict(stored)
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(f"{file} cannot be read ({error}); restore it from a copy") from error

    def put(path: Any, part: Any) -> Any:
        if not is_part(part):
            return part
        dynamic, static = eqx.partition(part.weights, eqx.is_array)
        loaded = jax.tree_util.tree_map_with_path(
            lambda inner, leaf: restored(named(path, inner), leaf, arrays, file), dynamic
        )
        params = eqx.combine(loaded, static)
        return Trainable(params, part.opt_state, None if part.ema is None else part.ema._replace(params=params))

    return jax.tree_util.tree_map_with_path(put, learner, is_leaf=is_part)


def restored(name: str, template: Array, arrays: dict[str, np.ndarray], file: Path) -> Array:
    """One array as it was stored, with a seed axis. Raises UsageError where it is missing or of another shape."""
    found, shape = arrays.get(name), template.shape[1:]
    if found is None or found.shape != shape:
        there = "nothing" if found is None else list(found.shape)
        raise UsageError(
            f"{file} is of another program version: {name} is {list(shape)} here and {there} there; "
            "make it again from a run"
        )
    return jnp.asarray(found[None], template.dtype)
