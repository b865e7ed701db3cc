"""Bytes of arrays and of computations, from their shapes alone."""

from collections.abc import Callable
from typing import Any

import jax


def size_of(arrays: Any) -> int:
    """Bytes of a pytree of arrays, or of their shapes."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(arrays))


def size_of_gradient(function: Callable[..., Any], params: Any, *args: Any) -> int:
    """Bytes that `function(params, *args)` keeps for its gradient in `params`; all arguments may be shapes."""

    def residuals(params: Any, *args: Any) -> Any:
        return jax.vjp(lambda params: function(params, *args), params)[1]

    return size_of(jax.eval_shape(residuals, params, *args))
