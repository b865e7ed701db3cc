"""Whether an environment of one's own in JAX keeps its contract: sizes and types by tracing, values by a few steps."""

from typing import Any

import jax
import jax.numpy as jnp

from mag.envs.contract import Env, EnvSpec
from mag.envs.host import ContractError, record_of, record_type
from mag.errors import UsageError
from mag.types import TimeStep

STEPS = 3
"""Steps played."""


def check(env: Env) -> None:
    """Raise UsageError where `reset` or `step` show what the spec does not say, or what no algorithm can learn from.

    What the environment itself raises is passed on.
    """
    spec = env.spec
    key = jax.random.key(0)
    state, shown = jax.eval_shape(env.reset, key)
    after, later = jax.eval_shape(env.step, key, state, jnp.zeros(spec.n_agents, jnp.int32))
    for where, each in (("reset", shown), ("step", later)):
        check_types(spec, where, each)
    if shapes(state) != shapes(after):
        raise UsageError(
            f"{spec.name}: reset returns a state of {told(state)}, and step one of {told(after)}; shapes and types "
            "must be the same"
        )
    step = jax.jit(env.step)
    state, shown = jax.jit(env.reset)(key)
    for _ in range(STEPS):
        try:
            record_of(spec, jax.device_get(shown))
        except ContractError as error:
            raise UsageError(str(error)) from error
        if shown.terminated | shown.truncated:
            return
        state, shown = step(key, state, shown.avail.argmax(-1).astype(jnp.int32))


def check_types(spec: EnvSpec, where: str, shown: Any) -> None:
    """Raise UsageError where a traced time step's shapes and types are not those of the spec."""
    if not isinstance(shown, TimeStep):
        raise UsageError(f"{spec.name}: {where} returns a {type(shown).__name__}; it must be a `mag.types.TimeStep`")
    wanted = record_type(spec)
    for name in TimeStep._fields:
        value = getattr(shown, name)
        if name not in (wanted.names or ()):
            expected = None if value is None else "None, for its state_dim is None"
        else:
            kind = wanted[name]
            fits = shapes(value) == [(kind.shape, kind.base)]
            expected = None if fits else f"{kind.base}{list(kind.shape)}"
        if expected is not None:
            raise UsageError(f"{spec.name}: {where} shows {name} as {told(value)}; its spec says {expected}")


def shapes(tree: Any) -> list[tuple[tuple[int, ...], Any]]:
    """Shape and type of every array of a pytree, in order."""
    return [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]


def told(tree: Any) -> str:
    """Types and shapes in words, such as `float32[2, 5]`; `nothing` where there is no array."""
    return ", ".join(f"{dtype}{list(shape)}" for shape, dtype in shapes(tree)) or "nothing"
